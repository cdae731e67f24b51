"""The system itself fails, at each call that it gets: by `strace`, where that is installed.

```
parent ── forks ─► child: loaded, waits ── "go" ─► stat BEGIN, the call, stat END
   └── strace -p child -e inject=NAME:error=CODE:when=N, for each N between BEGIN and END
```
"""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

from .cache_calls import Child, records, same
from .cache_failures import SCENES, VALUES

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
SCENE_NAMES = ("hit", "large hit", "miss", "first miss", "damaged", "refresh", "bounded miss",
               "mapped hit")  # fmt: skip
_LINE = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\(")
# What the interpreter needs for itself, and what has no error to return.
_LEFT_ALONE = {"mmap", "munmap", "brk", "mremap", "mprotect", "futex", "getpid", "gettid"}
_LEFT_ALONE |= {"rt_sigaction", "rt_sigprocmask", "restart_syscall", "exit_group", "getrandom"}
_LEFT_ALONE |= {"clock_gettime", "geteuid", "madvise", "clock_nanosleep"}


def is_available():
    """Whether there is a `strace` that may trace."""
    return shutil.which("strace") is not None


def failing(directory, scene, errors=ERRORS):
    """Lets each system call fail that the kernel gets from one call.

    Args:
        directory: Where to work.
        scene: The name of a scene of `cache_failures`.
        errors: The error numbers.

    Returns:
        The figures.
    """
    log = os.path.join(directory, "log")
    _run(directory, scene, ["-o", log])
    lines = Path(log).read_text().splitlines()
    (begin,) = (number for number, line in enumerate(lines) if "/BEGIN" in line)
    (end,) = (number for number, line in enumerate(lines) if "/END" in line)
    names = [match and match[1] for match in map(_LINE.match, lines)]
    before = Counter(names[: begin + 1])
    figures = {"failures": 0, "temporary files left": 0}
    for name, count in Counter(names[begin + 1 : end]).items():
        if name is None or name in _LEFT_ALONE:
            continue
        for at in range(before[name] + 1, before[name] + count + 1):
            for error in errors:
                code = errno.errorcode[error]
                options = ["-o", log, "-e", f"inject={name}:error={code}:when={at}"]
                left = _run(directory, scene, options)
                injected = "(INJECTED)" in Path(log).read_text()
                figures["failures"] += injected
                # A temporary file that cannot be removed is left.
                figures["temporary files left"] += left if name not in ("unlink", "unlinkat") else 0
    return figures


def _run(directory, scene, options):
    place = os.path.join(directory, "cache")
    cache, make = SCENES[scene].prepared(place)
    value = VALUES[SCENES[scene].is_large]
    waits, go = os.pipe()
    child = Child(_call, cache, make(), value, waits)
    command = ["strace", "-p", str(child.pid), *options]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while b"attached" not in tracer.stderr.readline():
            if tracer.poll() is not None:
                raise AssertionError("strace cannot trace")
        # It says so before it has the process.
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{child.pid}/status").read_text():
            time.sleep(0.001)
        os.write(go, b"!")
        executed = child.result()
    finally:
        child.kill()
        tracer.wait()
        tracer.stderr.close()
        for descriptor in (waits, go):
            os.close(descriptor)
    assert executed in (0, 1), f"{scene}, {options}: {executed}"
    left = len(cache.temporary_files())
    task = make()
    with records() as warnings:
        assert same(cache.call(task), value), f"{scene}, {options}: a wrong value later"
    # What is damaged stays so where it could not be replaced.
    assert len(warnings) <= (scene == "damaged"), f"{scene}, {options}: {warnings}"
    shutil.rmtree(place)
    return left


def _call(cache, task, value, waits):
    with records():
        # A read that is going on when it is traced may be counted or not.
        select.select([waits], [], [])
        os.path.lexists("/BEGIN")
        try:
            found = cache.call(task)
        except Exception as error:
            found = repr(error)
        os.path.lexists("/END")
    return task.executed if same(found, value) else f"wrong: {found!r}"
