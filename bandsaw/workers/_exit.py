"""How the other process ended, in words."""

from __future__ import annotations

import signal


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
