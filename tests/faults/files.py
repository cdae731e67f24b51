"""Files that travel over one connection while its processes and the server are killed.

A call returns what it has to, or a typed error. What the other machine keeps is whole, or is not
taken for what it should be.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import traceback
from pathlib import Path

import bandsaw
from bandsaw._files import kept
from bandsaw._system import file_contents
from bandsaw._workers.ssh import ssh_connection
from bandsaw.advices.ssh import Remote
from bandsaw.errors import (
    FileTravelError,
    RemoteConnectionError,
    WorkerDiedError,
    WorkerStartError,
)

from . import ssh_configuration, ssh_server, ssh_tasks
from .ssh import _strike

_TYPED = (RemoteConnectionError, WorkerDiedError, WorkerStartError, FileTravelError)
_THREADS, _CALLS, _KILLS = 3, 6, 6


def run(dice, figures, directory):
    """Makes calls with files, and looks at what they leave there."""
    here, there = Path(directory, "here"), Path(directory, "there")
    here.mkdir()
    with ssh_server.Server() as server:
        interpreter = bandsaw.Interpreter(executable=sys.executable)
        remote = Remote(interpreter=interpreter, **server.arguments(directory=str(there)))
        for advice in ssh_configuration.own, ssh_configuration.warm:
            advice.add_remote(remote)
        inputs = [_made(here / f"in {number}", dice) for number in range(4)]
        calls = [
            threading.Thread(target=_call, args=(random.Random(dice.random()), inputs, figures))
            for _ in range(_THREADS)
        ]
        for thread in calls:
            thread.start()
        strike = _strike(server)
        for _ in range(_KILLS):
            time.sleep(dice.uniform(0, 1.0))
            figures.inject(strike(dice))
        for thread in calls:
            thread.join()
        # All goes well when nobody is killed any more.
        _call(dice, inputs, figures, is_quiet=True)
        ssh_connection.close_all()
    for base in there.glob("bandsaw-*/files"):
        _look_at(base, figures)


def _made(path, dice):
    """Makes a file or a folder."""
    files = [path]
    if dice.random() < 0.4:
        path.mkdir()
        files = [path / str(number) for number in range(dice.randrange(1, 20))]
    for file in files:
        file.write_bytes(dice.randbytes(int(2 ** dice.uniform(0, 22 if len(files) == 1 else 16))))
    return path


def _call(dice, inputs, figures, is_quiet=False):
    for _ in range(_CALLS):
        path = dice.choice(inputs)
        digest = file_contents.digest_of(str(path))
        chain = dice.choice(["default", "warm"])
        task = ssh_tasks.on("default", chain=chain, retries=dice.choice([0, 3]))(ssh_tasks.twins)
        figures.calls += 1
        try:
            found = task([bandsaw.File(path)])
        except _TYPED as error:
            if is_quiet:
                figures.fault("wrong", f"when nobody was killed: {error!r}")
        except BaseException as error:
            figures.fault("untyped", f"{error!r}\n{traceback.format_exc()[-2000:]}")
        else:
            if any(file_contents.digest_of(file.path) != digest for file in found):
                figures.fault("wrong", f"{path} came back as something else")


def _look_at(base, figures):
    places = base / "kept"
    for place in places.iterdir() if places.is_dir() else ():
        names = os.listdir(place / "as") if (place / "as").is_dir() else []
        for name in names:
            if kept.is_there(str(base), place.name, name):
                digest = file_contents.digest_of(str(place / "content"))
                if digest != place.name:
                    figures.fault("wrong", f"{place} is kept and has the digest {digest}")
