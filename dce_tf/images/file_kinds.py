"""Kinds of image files: which are read, and what to do with others."""

from __future__ import annotations

import re

READ = "JPEG, PNG, GIF, BMP or WebP"
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"})
OTHER_EXTENSIONS = frozenset(
    {".avif", ".heic", ".heif", ".jxl", ".svg", ".tif", ".tiff"}
)
"""Images that people have, and that are to be converted first."""

HEAD_BYTES = 4096  # That tell a kind.

_BEGINNINGS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "PSD",
    b"%PDF": "PDF",
}
_AVIF, _HEIC = ("avif", "avis"), ("heic", "heix", "heim", "heis", "hevc", "mif1")
_SVG = re.compile(rb"^\s*(<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|\s)*<svg[\s>]", re.S)


def unread_kind(head: bytes) -> str | None:
    """Returns the name of a kind of image that is not read, as far as it is known.

    Args:
        head: The first `HEAD_BYTES` of a file, or all of it.
    """
    for beginning, name in _BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[at : at + 4].decode("latin-1") for at in range(8, size, 4)}
        for name, known in (("AVIF", _AVIF), ("HEIC", _HEIC)):
            if brands.intersection(known):
                return name
    return "SVG" if _SVG.match(head.removeprefix(b"\xef\xbb\xbf")) else None


def advice(kind: str) -> str:
    """Returns the sentence on a kind of image that is not read."""
    return f"{kind} is not read; convert it to JPEG or PNG"
