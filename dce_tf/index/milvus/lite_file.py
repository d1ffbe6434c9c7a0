"""Files of Milvus Lite, each for one process at a time."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from dce_tf.base.files import locked

_held: set[Path] = set()
_holding = threading.Lock()
_until_the_end = contextlib.ExitStack()  # Milvus Lite itself keeps a file until then.


def hold(uri: str) -> None:
    """Keeps a file for this process, which may open it any number of times.

    Two processes would each write down what they know, and the later one what the
    earlier no longer finds. Not every version of Milvus Lite refuses the second.

    Args:
        uri: The file.

    Raises:
        OSError: If its folder cannot be written.
        ValueError: If another process holds it.
    """
    path = Path(uri).resolve()
    with _holding:
        if path not in _held:
            _until_the_end.enter_context(
                locked(
                    path.with_name(f"{path.name}.lock"),
                    f"{uri} is in use by another process: one at a time may open a "
                    "file of Milvus Lite, and keeps it until it ends. Stop that one, "
                    "such as a server; several of them share a Milvus server or "
                    "PostgreSQL (`index --postgres=DSN`).",
                )
            )
            _held.add(path)
