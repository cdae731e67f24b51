"""Another process that finds out what the modules of a large package say, for a first id.

This one reads them as imports lead to them, the other one from the last file to the first. Each
looks for what is kept of a text before it parses it, so they meet somewhere. What the other one
keeps is believed as little as what any process has kept, and no code of the project runs there.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any, Optional

from .. import modules
from .._system.importing import late_import
from .._system.processes import ends_within, flags, in_forked_processes, processors
from . import kept_texts
from .module_parts import Module
from .sources import source_of

# So many modules of which nothing was kept take about as long as the start of a process.
_MANY = 20
_PROGRAM = """
import sys
sys.path.insert(0, {!r})
from bandsaw._identity.reading_ahead import run
run()
"""
# It ends between two files, or in the middle of one.
_SECONDS_TO_END = 2.0
# For the other process it matters least when it goes on.
_NICENESS = 5

_count = 0
_process: Any = None


def note(module: Module) -> None:
    """Notes that a module was parsed, and starts the other process when there are many of them."""
    global _count, _process
    _count += 1
    if _count != _MANY or _process is not None or not _may_start():
        return
    folder = _package_of(module)
    if folder is None:
        return
    with late_import:
        import subprocess
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, *flags(), "-I", "-c", _PROGRAM.format(here)]
    request = {"path": [entry for entry in sys.path if isinstance(entry, str)], "folder": folder}
    nowhere = subprocess.DEVNULL
    with contextlib.suppress(OSError):
        _process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, bufsize=0
        )
        _process.stdin.write(json.dumps(request).encode() + b"\n")


def _package_of(module: Module) -> Optional[str]:
    """Returns the folder of the package at the top that a module is in."""
    top, *inner = module.name.split(".")
    folder = os.path.abspath(module.path or "")
    for _ in inner if not module.is_package else [*inner, top]:
        folder = os.path.dirname(folder)
    return folder if os.path.basename(folder) == top else None


def _may_start() -> bool:
    return (
        not modules.is_far_end
        and processors() > 1
        # A program that has Python in it would start itself.
        and os.path.basename(sys.executable or "").startswith(("python", "pypy"))
        and kept_texts.may_be_kept()
    )


def end() -> None:
    """Ends the other process, as the id is made."""
    global _count, _process
    _count, process, _process = 0, _process, None
    if process is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
        if not ends_within(process, _SECONDS_TO_END):
            process.kill()
            process.wait()


@in_forked_processes
def _let_go() -> None:
    global _count, _process
    _count, process, _process = 0, _process, None
    if process is not None:
        process.returncode = 0  # it is not ours to wait for
        process.stdin.close()


def run() -> None:
    """Reads the modules of a package, until all are read or standard input ends."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICENESS)
    # Without a buffer, whose lock a thread would hold when Python ends.
    with open(0, "rb", buffering=0, closefd=False) as stream:
        request = json.loads(stream.readline())
    sys.path[:] = request["path"]
    # A program in the background of a shell ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Thread(target=_interrupt_at_the_end, daemon=True).start()
        for name, is_package, path in _modules_in(request["folder"]):
            # What cannot be read here is read, or told, where the id is made.
            with contextlib.suppress(Exception):
                source = source_of(path, {"__name__": name}, is_outlined=True)
                if source is not None and kept_texts.is_large(source.data):
                    module = Module(name, is_package, path, source)
                    if not module.facts.is_kept:
                        module.read_all()


def _interrupt_at_the_end() -> None:
    os.read(0, 1)
    _thread.interrupt_main()


def _modules_in(folder: str) -> list[tuple[str, bool, str]]:
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if each.isidentifier() and each != "__pycache__"]
        package = os.path.relpath(place, os.path.dirname(folder)).replace(os.sep, ".")
        for file in files:
            name, suffix = os.path.splitext(file)
            if suffix == ".py" and name.isidentifier():
                is_package = name == "__init__"
                whole = package if is_package else f"{package}.{name}"
                found.append((whole, is_package, os.path.join(place, file)))
    return sorted(found, reverse=True)
