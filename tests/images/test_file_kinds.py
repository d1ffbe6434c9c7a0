import pytest

from dce_tf.images.file_kinds import unread_kind

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
SVG = b'<?xml version="1.0"?>\n<!-- a\ncomment -->\n<svg width="9"></svg>'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (HEIC, "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heicmsf1", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", None),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (SVG, "SVG"),
        (b"\xef\xbb\xbf  <svg>", "SVG"),
        (b"<!DOCTYPE svg PUBLIC ''>\n<svg\n>", "SVG"),
        (b"<html><svg></svg></html>", None),
        (b"\xff\x0a" + bytes(9), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
        (b"\xff\xd8\xff\xe0", None),
        (b"a text", None),
        (b"", None),
    ],
)
def test_kinds_are_told_by_how_files_begin(content: bytes, kind: str | None) -> None:
    assert unread_kind(content) == kind
