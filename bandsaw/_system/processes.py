"""The end of processes: how they are killed with their group, looked after, and named in words."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    # Not at run time: processes of tasks do not load `subprocess`.
    import subprocess


def in_forked_processes(function: Callable[[], None]) -> Callable[[], None]:
    """Has a function called in each process that is forked from this one."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


# What changes results, by the names that `-X` has for it, with the variables that say the same.
_OPTIONS = {"int_max_str_digits": "PYTHONINTMAXSTRDIGITS", "utf8": "PYTHONUTF8"}


def _options() -> dict[str, str]:
    given = {name: sys._xoptions[name] for name in _OPTIONS if name in sys._xoptions}
    return {name: "1" if value is True else str(value) for name, value in given.items()}


def flags() -> list[str]:
    """Returns the options of this Python that change results, for other processes.

    `-O` takes assertions away, and the others change what is read and written. An environment
    variable that says the same is inherited.
    """
    optimize = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    return optimize + [f"-X{name}={value}" for name, value in _options().items()]


def flags_as_variables() -> dict[str, str]:
    """Says the same for a process that other software starts."""
    optimize = {"PYTHONOPTIMIZE": str(sys.flags.optimize)} if sys.flags.optimize else {}
    return {**optimize, **{_OPTIONS[name]: value for name, value in _options().items()}}


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it started, and waits for it."""
    if os.name == "posix":
        kill_group(process.pid)
    elif process.poll() is None:
        process.kill()
    process.wait()


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for a process. A machine that stands still meanwhile costs one look of ten."""
    import subprocess

    for _ in range(10):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds / 10)
            return True
    return False


def reap(pid: int, kill: Callable[[], None]) -> Optional[int]:
    """Returns how a child ended, `None` while it runs, and ends what it has left."""
    if hasattr(os, "waitid"):
        # Until the child is reaped, the number of its group cannot be reused.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        kill()
        _, status = os.waitpid(pid, 0)
    else:
        # macOS before Python 3.13. The number is not reused while a process of the group is left.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return None
        kill()
    return os.waitstatus_to_exitcode(status)


def describe_exit(returncode: int) -> str:
    """Says how a process ended, as `exit code 137, as after signal SIGKILL`: shells do so."""
    if returncode < 0:
        return f"signal {_signal_name(-returncode)} ({-returncode})"
    if returncode > 128 and _signal_name(returncode - 128) != str(returncode - 128):
        return f"exit code {returncode}, as after signal {_signal_name(returncode - 128)}"
    return f"exit code {returncode}"


def why_not_started(program: str, error: Exception) -> str:
    """Says why a program cannot be started, and from where a relative path of it is taken."""
    if isinstance(error, FileNotFoundError) and os.sep in program:
        if os.path.lexists(program):
            return f"{error}. It is there, and what it links to or what its first line names is not"
        with contextlib.suppress(OSError):  # the folder was removed
            if not os.path.isabs(program):
                return f"{error}. It is looked for in the working directory, {os.getcwd()}."
    if not program:
        return (
            "this process does not say which Python it is (`sys.executable` is empty). Name one: "
            "Interpreter(executable=...)."
        )
    return str(error)


def advice_on_exit(returncode: Optional[int]) -> str:
    """Says on a line of its own what may help against such an end, if that is known."""
    if returncode in (-9, 128 + 9):
        return (
            "\nWhere memory runs out, the kernel sends SIGKILL: let fewer calls run at once "
            "(workers=, max_in_flight=), or see `dmesg`."
        )
    return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


@functools.cache  # asked at each call, and forks share the machine
def this_machine() -> str:
    """Names the machine and when it was started: containers on it have other names."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            started = file.read().strip()
    except OSError:
        started = ""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return f"{name} {started}"
