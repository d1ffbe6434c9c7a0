"""The page's files, without a browser."""

import re
from pathlib import Path

from dce_tf.reports import html_page
from dce_tf.serving.app import PAGE
from tests.serving.conftest import Client


def test_its_files_name_no_other_place_and_hold_no_inline_code() -> None:
    shared = Path(html_page.__file__).parent / "assets"
    files = [*PAGE.iterdir(), *shared.iterdir()]
    names = [path.name for path in files]
    for path in files:
        text = path.read_text(encoding="utf-8")
        text = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]|@import|data:", text), path
        for name in re.findall(r"""(?:from "\./|"page/)([^"]+)""", text):
            assert name in names, path
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""\s(on\w+|style)=""", html)
    assert not re.search(r"<script[^>]*>[^<]", html)
    assert "default-src 'none'" in html


def test_its_headers_forbid_what_its_policy_does_and_frames(client: Client) -> None:
    page = client.get("/")
    policy = re.search(r'content="(default-src[^"]*)"', page.text).group(1)
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert "page/colours.css" in named
    for answer in (page, *(client.get(f"/{name}") for name in named)):
        headers = answer.headers
        assert answer.status_code == 200
        expected = f"{policy}; frame-ancestors 'none'"
        assert headers["content-security-policy"] == expected
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-cache"
    assert client.get("/page/nowhere.js").status_code == 404
