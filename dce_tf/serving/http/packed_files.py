"""Files that are kept as gzip, and sent so to whom takes it."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response, StreamingResponse

SUFFIX = ".gz"
_PIECE = 64 * 1024  # Bytes: what is sent at once is not counted as memory.


def packed_response(
    path: Path, request: Headers, headers: Mapping[str, str]
) -> Response:
    """Answers with a file that is kept as gzip.

    Args:
        path: The file; its name without `.gz` says what it is.
        request: Headers of the request.
        headers: Of the answer, an ETag among them.
    """
    media_type = mimetypes.guess_type(path.name.removesuffix(SUFFIX))[0]
    media_type = media_type or "application/octet-stream"
    headers = {**headers, "Vary": "Accept-Encoding"}
    if headers["ETag"] in request.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return FileResponse(path, headers=headers, media_type=media_type)
    return StreamingResponse(_unpacked(path), headers=headers, media_type=media_type)


def _unpacked(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while piece := file.read(_PIECE):
            yield piece
