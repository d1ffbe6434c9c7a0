"""Succeeds when the server in this container takes requests: the image has no curl."""

import os
import ssl
import sys
import urllib.request

_SECONDS = 5.0


def check() -> int:
    """Asks `/readyz`, where and as the server's own variables say that it listens.

    Returns:
        Exit code: 0 if it is ready, else 1.
    """
    port = os.environ.get("DCE_TF_PORT", "8501")
    scheme = "https" if os.environ.get("DCE_TF_TLS_CERT") else "http"
    context = ssl.create_default_context()
    # It asks itself; the certificate is for the name that others know it by.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = f"{scheme}://127.0.0.1:{port}/readyz"
    try:
        urllib.request.urlopen(address, timeout=_SECONDS, context=context).close()
    except OSError as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(check())
