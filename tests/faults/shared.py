"""Processes share a store on a server, which is killed, cut off, and whose entries are damaged.

```
round ── python -m tests.faults.cache_shared --work ─► calls, through a cache with a shared store
  ├── kills the server, its connections, or a process
  └── damages, exchanges or removes entries in the folder of the server
```
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from bandsaw._cache import entry, shared
from bandsaw._cache.owned_files import DamagedEntryError
from tests import stores

from . import workers_seen as seen
from .cache_calls import Task, records
from .cache_shared import begin, machine, value_of
from .figures import Fault

_PROCESSES, _EVENTS = 3, 14
_LONGEST_PAUSE = 0.6


def run(dice, figures, directory):
    """Lets processes work, and looks at what they have left in the store."""
    folder = Path(directory)
    with stores.Sftp(folder / "store") as server:
        store = _Store(folder, server, dice, figures)
        try:
            store.begin()
            for _ in range(_EVENTS):
                time.sleep(dice.uniform(0, _LONGEST_PAUSE))
                store.strike()
            computed = store.end()
        finally:
            store.kill()
        os.environ.update(server.variables)
        store.see(computed)


class _Store:
    """The store, and the processes that share it."""

    def __init__(self, folder, server, dice, figures):
        self._folder, self._server, self._dice, self._figures = folder, server, dice, figures
        self._processes = [begin(folder, server, dice, number) for number in range(_PROCESSES)]
        # The names of entries that were damaged or removed, and may be so still.
        self._struck = set()

    def begin(self):
        """Waits until there is something to strike."""
        if not seen.settles(lambda: len(self._entries()) > _PROCESSES, 60):
            raise Fault("hang", "nothing is sent")

    def strike(self):
        """Does something to the server, a process or an entry."""
        strikes = [self._restart, self._cut, self._kill_one] + [self._damage] * 4
        what = self._dice.choice(strikes)()
        if what:
            self._figures.inject(what)

    def _restart(self):
        self._server.kill()
        time.sleep(self._dice.random())
        self._server.start()
        return "SIGKILL: server"

    def _cut(self):
        return "SIGKILL: connections" if self._server.cut() else None

    def _kill_one(self):
        number = self._dice.randrange(_PROCESSES)
        self._processes[number].kill()
        self._processes[number].communicate()
        # Its folder goes on being used, as after a reboot.
        self._processes[number] = begin(self._folder, self._server, self._dice, number)
        return "SIGKILL: process"

    def _entries(self):
        with contextlib.suppress(FileNotFoundError):
            paths = (self._folder / "store" / "task").iterdir()
            return sorted(path for path in paths if not path.name.startswith("."))
        return []

    def _damage(self):
        found = self._entries()
        if not found:
            return None
        # The newest ones are asked for.
        path = self._dice.choice(sorted(found, key=lambda path: int(path.name))[-20:])
        kind = self._dice.choice(["cut", "flipped", "exchanged", "removed"])
        self._struck.add(path.name)
        with contextlib.suppress(FileNotFoundError):
            if kind == "removed":
                path.unlink()
            else:
                # Whole at once: what else writes there renames, too.
                new = path.with_name(f".{path.name}.struck")
                new.write_bytes(self._changed(path, kind, found))
                new.rename(path)
        return f"entries {kind}"

    def _changed(self, path, kind, others):
        data = bytearray(path.read_bytes())
        if kind == "cut":
            del data[self._dice.randrange(len(data)) :]
        elif kind == "exchanged":
            return self._dice.choice(others).read_bytes()
        else:
            data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
        return bytes(data)

    def end(self):
        """Has the processes end, and returns the names of the entries that they have computed."""
        computed = []
        for process in self._processes:
            said, told = process.communicate(timeout=200)
            assert process.returncode == 0, told
            warnings = [line for line in told.splitlines() if line.startswith("The shared store")]
            assert len(warnings) <= 1, told
            computed += said.split()
        self._figures.calls += len(computed)
        return {*computed}

    def kill(self):
        for process in self._processes:
            process.kill()
            process.communicate()

    def see(self, computed):
        """Looks at all entries, and has another machine get their values."""
        names = {path.name for path in self._entries()}
        lost = computed - names - self._struck
        assert not lost, f"lost: {sorted(lost)}"
        wrong = {name for name in names if not self._is_whole(name)}
        assert wrong <= self._struck, f"not whole: {sorted(wrong - self._struck)}"
        anew = []

        def compute(key):
            anew.append(key)
            return value_of(key)

        another = machine(self._folder / "another", self._server.url)
        with records():
            for name in sorted(names):
                assert another.call(Task(compute), name) == value_of(name), name
        self._figures.calls += len(names)
        assert {*anew} == wrong, f"computed {sorted(anew)}, and not whole were {sorted(wrong)}"
        shared.store_of(self._server.url).sending.finish()
        wrong = [name for name in names if not self._is_whole(name)]
        assert not wrong, f"sent in place of damaged ones, and not whole: {wrong}"
        if another.temporary_files():
            raise Fault("left", f"temporary files: {another.temporary_files()}")

    def _is_whole(self, name):
        try:
            entry.read("task", name, path=str(self._folder / "store" / "task" / name))
        except DamagedEntryError:
            return False
        return True
