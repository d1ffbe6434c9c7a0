"""Opens the page in a browser, where a person sits before this machine."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser


def open_browser(address: str) -> bool:
    """Opens an address, without waiting for the browser.

    Args:
        address: Such as `http://127.0.0.1:8501/`.

    Returns:
        Whether there is a display. Without one a browser for terminals, such as lynx,
        would take the terminal from the server.
    """
    if not has_display():
        return False
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    return True


def has_display() -> bool:
    """Returns whether windows can be shown here."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
