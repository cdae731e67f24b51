"""What an archive runs in a process for tasks.

--fork-server SETTINGS   its socket is standard input, see `fork_server`
--worker FD              its channel is open under that number, see `serving`
"""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
from collections.abc import Sequence

from .. import _far_end
from . import serving
from .frames import Channel

_open_until_the_end: list[Channel] = []


def main(args: Sequence[str]) -> int:
    """Serves the process on the other side, and returns the exit status."""
    mode, argument = args[:2]
    _far_end.prepare()
    # What a task sees is no business of ours.
    del sys.argv[1:]
    if mode == "--fork-server":
        from . import fork_server

        end = socket.socket(fileno=os.dup(0))
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        return fork_server.run(end, json.loads(argument))
    # So that a process that crashes in C code says where.
    faulthandler.enable()
    os.set_inheritable(int(argument), False)
    end = socket.socket(fileno=int(argument))
    channel = Channel(end)
    # Open until the process has ended: to close it says that it is about to.
    _open_until_the_end.append(channel)
    # As a forked process does: to take Python apart takes time, and nobody gains from it.
    os._exit(serving.serve_to_the_end(channel))
