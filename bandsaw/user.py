"""The user who runs this process."""

from __future__ import annotations

import os


def get_current_username() -> str:
    """Returns the name of the current user.

    Returns:
        The login name; where the system knows none for this process, as in many containers, the
        number of the user.
    """
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
