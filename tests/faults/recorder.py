"""Processes record in one file and are killed, the file is read meanwhile, and then damaged.

```
round ── python -m tests.faults.recording --work ─► records calls; some of them are killed
  ├── bandsaw runs ls | show, here and in processes that are killed, as long as they work
  └── copies of the record, cut and changed ─► all commands, and another process that records
```
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
import traceback
from pathlib import Path

from bandsaw.__main__ import make_parser
from bandsaw._commands import console

from .figures import Fault
from .recording import ROOT, Process, checked, fails, killing

_CALLS, _KILLS, _PAUSE = 300, 4, 0.001
_FEW_CALLS, _COPIES, _WRITTEN_TO = 20, 100, 3
_COMMANDS = (
    ("ls",), ("ls", "--json"), ("show",), ("show", "--calls"), ("show", "--json"), ("failures",),
    ("compare", "last", "last"), ("report", "--output", os.devnull), ("watch",), ("made", "file"),
)  # fmt: skip


def run(dice, figures, directory):
    """Has calls recorded, and looks at the record."""
    folder = Path(directory)
    record = folder / "record.sqlite"
    reader = _Reader(record, dice, figures)
    done = killing(folder, _CALLS, _KILLS, _PAUSE, dice, reader.look)
    reader.look(done)
    found = checked(str(record), done)
    figures.calls += found["calls"]
    figures.inject("SIGKILL of a writer", found["killed"])
    _see_it_free(record)
    _damage(folder / "damaged", dice, figures)


@functools.lru_cache(None)
def _parser():
    # To make it takes longer than most commands.
    return make_parser("bandsaw")


def _command(record, *words):
    """Runs a command here; returns its status, and what it has printed and complained of."""
    told, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(said):
        parsed = _parser().parse_args(["runs", *words, "--file", str(record)])
        status = console.run(lambda: parsed.actions[parsed.action](parsed))
    return status, told.getvalue(), said.getvalue()


class _Reader:
    """Reads a record again and again, and remembers what was there already."""

    def __init__(self, record, dice, figures):
        self._record, self._dice, self._figures = record, dice, figures
        self._seen = {}

    def look(self, processes):
        """Reads it once; `processes` are all that have written to it."""
        if self._dice.random() < 0.3:
            self._kill_a_reader()
        if not self._record.exists():
            return time.sleep(0.05)
        ended = {one.noted()[0] for one in processes if one.process.poll() is not None}
        status, told, said = _command(self._record, "ls", "--json")
        if status:
            # The first writer is about to make it.
            assert not self._seen and said.startswith("error: "), said
            return None
        # One that was killed may be gone for others before it can be waited for.
        alive = {
            one.noted()[0] for one in processes if one.killed is None and one.process.poll() is None
        }
        runs = json.loads(told)
        names = [run["run"] for run in runs]
        assert len({*names}) == len(names), names
        assert {*self._seen} <= {*names}, f"{self._seen} were there, and now {names}"
        for run in runs:
            self._see_run(run, run["run"] in ended, run["run"] in alive)
        if names:
            self._see_calls(self._dice.choice(names))
        return None

    def _see_run(self, run, has_ended, is_alive):
        before = self._seen.get(run["run"], 0)
        assert run["calls"] >= before, f"{run} had {before} calls"
        self._seen[run["run"]] = run["calls"]
        states = {"running", "ended", "lost"}
        states -= {"running"} if has_ended else set()
        states -= {"lost"} if is_alive else set()
        assert run["state"] in states, f"{run} is none of {states}"

    def _see_calls(self, name):
        status, told, said = _command(self._record, "show", name, "--json")
        assert status == 0, said
        calls = json.loads(told)["list"]
        # One after another, each of them once.
        assert [int(call["arguments"]) for call in calls] == [*range(len(calls))], calls
        assert len(calls) >= self._seen[name], f"{len(calls)} and not {self._seen[name]}"
        self._seen[name] = len(calls)
        for number, call in enumerate(calls):
            assert call["state"] == ("failed" if fails(number) else "done"), call
        self._figures.calls += 1

    def _kill_a_reader(self):
        words = self._dice.choice([["ls"], ["show", "--calls"], ["watch", "--seconds", "0.1s"]])
        process = subprocess.Popen(
            [sys.executable, "-m", "bandsaw", "runs", *words, "--file", self._record],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            time.sleep(self._dice.uniform(0, 0.4))
            process.kill()
        self._figures.inject("SIGKILL of a reader")


def _see_it_free(record):
    """Looks for locks and files of those that were killed."""
    with contextlib.closing(sqlite3.connect(record, timeout=0)) as connection:
        connection.execute("BEGIN IMMEDIATE").connection.rollback()
    left = sorted(path.name for path in record.parent.glob("record*"))
    if left != ["record.sqlite"]:
        raise Fault("left", f"beside the record: {left}")


def _damage(folder, dice, figures):
    """Changes copies of a record that is small, so that what it is made of is hit."""
    folder.mkdir()
    record = folder / "record.sqlite"
    Process(folder, 0, _FEW_CALLS, 0.0).process.communicate()
    whole = record.read_bytes()
    for number in range(_COPIES):
        for path in folder.iterdir():
            path.unlink()
        record.write_bytes(_damaged(whole, dice, figures))
        if number < _WRITTEN_TO:
            _see_a_writer(record)
        for words in _COMMANDS:
            _see_a_command(record, words, figures)


def _damaged(whole, dice, figures):
    damaged = bytearray(whole)
    kind = dice.choice(["cut", "flipped", "flipped", "overwritten"])
    at = dice.randrange(len(damaged))
    if kind == "cut":
        del damaged[at:]
    elif kind == "flipped":
        for _ in range(dice.choice([1, 10, 100])):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    else:
        damaged[at : at + 200] = dice.randbytes(len(damaged[at : at + 200]))
    figures.inject(f"records {kind}")
    return bytes(damaged)


def _see_a_command(record, words, figures):
    """A command does what it is there for, or says in a sentence why not."""
    figures.calls += 1
    try:
        status, _, said = _command(record, *words)
    except Exception:
        text = traceback.format_exc()[-2000:]
        return figures.fault("untyped", f"runs {' '.join(words)} of a damaged record: {text}")
    if status not in (0, 1) or bool(status) != said.startswith("error: "):
        figures.fault("untyped", f"runs {' '.join(words)} ended with {status}: {said}")
    return None


def _see_a_writer(record):
    """Calls go on where they cannot be recorded."""
    writer = Process(record.parent, 0, _FEW_CALLS, 0.0)
    said = writer.process.communicate()[1].decode()
    assert writer.process.returncode == 0, said
    assert said.count("\n") <= 1, said
    assert not said or said.startswith("Not all calls are recorded: "), said
