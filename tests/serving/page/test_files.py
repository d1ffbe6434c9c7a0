"""The page's files, without a browser."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from dce_tf.reports import html_page
from dce_tf.serving.app import PAGE
from tests.serving.conftest import Client

RUNTIME = PAGE / "onnxruntime"
ORIGIN = json.loads((RUNTIME / "origin.json").read_text())


def test_its_files_name_no_other_place_and_hold_no_inline_code() -> None:
    shared = Path(html_page.__file__).parent / "assets"
    files = [path for path in [*PAGE.iterdir(), *shared.iterdir()] if path.is_file()]
    names = [path.name for path in files]
    names += [
        f"{RUNTIME.name}/{path.name.removesuffix('.gz')}" for path in RUNTIME.iterdir()
    ]
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ort.wasm.bundle.min.mjs", "javascript"),
        ("ort-wasm-simd-threaded.wasm", "application/wasm"),
    ],
)
def test_the_runtime_is_sent_as_it_was_published(
    client: Client, name: str, kind: str
) -> None:
    answer = client.get(f"/page/onnxruntime/{name}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest() == ORIGIN["sha256"][name]
    assert kind in answer.headers["content-type"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-encoding"] == "gzip"
    known = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"/page/onnxruntime/{name}", headers=known).status_code == 304


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip; q=0.5", "gzip;q=1.0"])
def test_clients_that_accept_gzip_get_packed_files(
    client: Client, accepted: str
) -> None:
    answer = client.get(
        "/page/onnxruntime/ort-wasm-simd-threaded.wasm",
        headers={"Accept-Encoding": accepted},
    )
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "accepted",
    ["", "identity", "gzip;q=0", "br, GZIP; q=0.000", "*, gzip;q=0"],
)
def test_clients_that_do_not_get_them_unpacked(client: Client, accepted: str) -> None:
    name = "ort-wasm-simd-threaded.wasm"
    packed = client.get(f"/page/onnxruntime/{name}")
    plain = client.get(
        f"/page/onnxruntime/{name}", headers={"Accept-Encoding": accepted}
    )
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content
    assert "Accept-Encoding" in plain.headers["vary"]
    assert client.get("/page/onnxruntime/nothing.wasm").status_code == 404


def test_the_runtime_has_its_licence_beside_it(client: Client) -> None:
    text = (RUNTIME / "LICENSE").read_text()
    assert text.startswith("MIT License\n\nCopyright (c) Microsoft Corporation")
    notices = gzip.decompress((RUNTIME / "ThirdPartyNotices.txt.gz").read_bytes())
    assert b"protobuf" in notices
    answer = client.get("/page/onnxruntime/ThirdPartyNotices.txt")
    assert answer.content == notices


def test_what_embeds_photographs_may_ask_nobody(client: Client) -> None:
    policy = client.get("/page/embedder_worker.js").headers["content-security-policy"]
    directives = dict(each.split(" ", 1) for each in policy.split("; "))
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "frame-ancestors": "'none'",
    }
    # Nothing else compiles WebAssembly.
    assert "wasm" not in client.get("/").headers["content-security-policy"]
