"""The system itself fails, at calls that it gets: by `strace`.

```
parent ── forks ─► child: loaded, waits ── "go" ─► stat BEGIN, the operation, stat END
   └── strace -p child -e inject=NAME:error=CODE:when=N, for an N between BEGIN and END
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
import zipfile  # noqa: F401 - that it cannot be loaded is no matter of bandsaw
from collections import Counter
from pathlib import Path

from bandsaw._archive import stores

from . import archives
from .cache_calls import Child, records, same
from .cache_failures import ERRORS, SCENES, VALUES
from .figures import Fault

_LINE = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(\w+)\(")
# What the interpreter needs for itself, and what has no error to return.
_LEFT_ALONE = {"mmap", "munmap", "brk", "mremap", "mprotect", "futex", "getpid", "gettid"}
_LEFT_ALONE |= {"rt_sigaction", "rt_sigprocmask", "restart_syscall", "exit_group", "getrandom"}
_LEFT_ALONE |= {"clock_gettime", "geteuid", "madvise", "clock_nanosleep"}
_INJECTIONS = 6


class _Call:
    """A call through a cache: never an error."""

    def __init__(self, scene, place):
        self.scene, self.place = scene, place
        self.cache, self.make = SCENES[scene].prepared(place)
        self.value = VALUES[SCENES[scene].is_large]

    def operate(self):
        with records():
            task = self.make()
            assert same(self.cache.call(task), self.value), "a wrong value"
        assert task.executed <= 1, "executed twice"

    def check(self):
        """Looks at what is there later, and returns what was left."""
        left = self.cache.temporary_files()
        with records() as warnings:
            assert same(self.cache.call(self.make()), self.value), "a wrong value later"
        # What is damaged stays so where it could not be replaced.
        assert len(warnings) <= (self.scene == "damaged"), warnings
        return left


class _Archive:
    """The writing of an archive: it is there, or there is an `OSError` and nothing."""

    def __init__(self, put, place):
        self.put, self.base, self.content = put, Path(place), archives.content()
        self.base.mkdir(mode=0o700)

    def operate(self):
        try:
            self.put(self.base, self.content)
        except OSError:
            pass

    def check(self):
        left = [name for name in os.listdir(self.base) if name.startswith(".")]
        path = self.put(self.base, self.content)
        if path.is_dir():
            archives.check_folder(path, self.content)
        return left


OPERATIONS = {
    **{
        scene: lambda place, scene=scene: _Call(scene, place)
        for scene in ("hit", "large hit", "miss", "first miss", "damaged", "refresh",
                      "bounded miss", "mapped hit")
    },
    "archive": lambda place: _Archive(stores.put_folder, place),
    "zip": lambda place: _Archive(stores.put_zip, place),
}  # fmt: skip


def run(dice, figures, directory):
    """Lets some system calls of some operations fail."""
    log = os.path.join(directory, "log")
    for name in dice.sample(list(OPERATIONS), 2):
        _run(directory, name, ["-o", log])
        calls = _calls(log)
        for call, at in dice.sample(calls, min(_INJECTIONS, len(calls))):
            code = errno.errorcode[dice.choice(ERRORS)]
            options = ["-o", log, "-e", f"inject={call}:error={code}:when={at}"]
            left = _run(directory, name, options)
            figures.inject(f"{code} from the kernel", "(INJECTED)" in Path(log).read_text())
            figures.calls += 2
            # A temporary file that cannot be removed is left.
            if left and call not in ("unlink", "unlinkat", "rmdir"):
                raise Fault("left", f"{name}, {options}: {left}")


def _calls(log):
    """Returns the system calls between the marks: names, and their numbers among all."""
    lines = Path(log).read_text().splitlines()
    (begin,) = (number for number, line in enumerate(lines) if "/BEGIN" in line)
    (end,) = (number for number, line in enumerate(lines) if "/END" in line)
    names = [match and match[1] for match in map(_LINE.match, lines)]
    seen, found = Counter(names[: begin + 1]), []
    for name in names[begin + 1 : end]:
        seen[name] += 1
        if name is not None and name not in _LEFT_ALONE:
            found.append((name, seen[name]))
    return found


def _run(directory, name, options):
    place = os.path.join(directory, "place")
    operation = OPERATIONS[name](place)
    waits, go = os.pipe()
    child = Child(_operate, operation, waits)
    # Otherwise some of what comes before is counted, and an injection is one call late.
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    command = ["strace", "-p", str(child.pid), *options]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while b"attached" not in tracer.stderr.readline():
            if tracer.poll() is not None:
                raise RuntimeError("strace cannot trace")
        # It says so before it has the process.
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{child.pid}/status").read_text():
            time.sleep(0.001)
        os.write(go, b"!")
        problem = child.result()
    finally:
        child.kill()
        tracer.wait()
        tracer.stderr.close()
        for descriptor in (waits, go):
            os.close(descriptor)
    if problem:
        raise Fault(problem[0], f"{name}, {options}: {problem[1]}")
    try:
        left = operation.check()
    except AssertionError as error:
        raise Fault("wrong", f"{name}, {options}: {error}") from error
    shutil.rmtree(place)
    return left


def _operate(operation, waits):
    # A read that is going on when it is traced may be counted or not.
    select.select([waits], [], [])
    os.path.lexists("/BEGIN")
    problem = None
    try:
        operation.operate()
    except AssertionError as error:
        problem = "wrong", str(error)
    except Exception as error:
        problem = "untyped", repr(error)
    os.path.lexists("/END")
    return problem
