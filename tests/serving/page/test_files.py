"""The page's files, without a browser."""

import re

from serving.app import PAGE


def test_its_files_name_no_other_place_and_hold_no_inline_code() -> None:
    names = sorted(path.name for path in PAGE.iterdir())
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]|@import|data:", text), path
        for name in re.findall(r"""(?:from "\./|"page/)([^"]+)""", text):
            assert name in names, path
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""\s(on\w+|style)=""", html)
    assert not re.search(r"<script[^>]*>[^<]", html)
    assert "default-src 'none'" in html
