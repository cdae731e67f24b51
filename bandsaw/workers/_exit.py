"""How a process ended: looked for without losing what it has left, and in words."""

from __future__ import annotations

import os
import signal
from typing import Callable, Optional


def reap(pid: int, kill: Callable[[], None]) -> Optional[int]:
    """Looks whether a child has ended, and ends what it has left.

    Args:
        pid: Its id, and that of its group.
        kill: Ends its group.

    Returns:
        How it ended, as `subprocess` reports it; `None` while it runs.
    """
    if hasattr(os, "waitid"):
        # Until it is waited for, nobody else can have the number of its group.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        kill()
        _, status = os.waitpid(pid, 0)
    else:
        # macOS before Python 3.13. If anything of the group is left, the number is not given away.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return None
        kill()
    return os.waitstatus_to_exitcode(status)


def describe_exit(returncode: int) -> str:
    """Says how a process ended.

    Args:
        returncode: As `subprocess` reports it: the exit status, or minus the signal's number. A
            status of 128 plus a signal's number, as shells report it, is named as well.

    Returns:
        For example `exit code 3`, `signal SIGKILL (9)` or `exit code 137, as after signal SIGKILL`.
    """
    if returncode < 0:
        return f"signal {_signal_name(-returncode)} ({-returncode})"
    if returncode > 128 and _signal_name(returncode - 128) != str(returncode - 128):
        return f"exit code {returncode}, as after signal {_signal_name(returncode - 128)}"
    return f"exit code {returncode}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
