"""A client of the server: for one's own code, and on a command line."""

from dce_tf.serving.client.client import (
    Client,
    Explanation,
    Hit,
    Identity,
    Record,
    ServerError,
    Verdict,
    Version,
)

__all__ = [
    "Client",
    "Explanation",
    "Hit",
    "Identity",
    "Record",
    "ServerError",
    "Verdict",
    "Version",
]
