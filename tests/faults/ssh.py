"""Calls over one connection, in a storm in which also the server is killed and started again."""

from __future__ import annotations

import collections
import contextlib
import sys
import threading
import time

import bandsaw
from bandsaw._workers.ssh import ssh_connection
from bandsaw.advices.ssh import Remote
from bandsaw.errors import RemoteConnectionError, WorkerDiedError, WorkerStartError

from . import ssh_configuration, ssh_server, ssh_tasks
from . import workers_seen as seen
from .storm import Storm, see_it_settle

_MOST_GROWTH = 50_000_000
_TYPED = (RemoteConnectionError, WorkerDiedError, WorkerStartError)


def _task(function, dice):
    chain = dice.choice(["default", "warm"])
    return ssh_tasks.on("default", chain=chain, retries=dice.choice([0, 0, 3]))(function)


def _strike(server):
    def strike(dice):
        how = dice.choice(["connection", "hub", "client", "any process", "server"])
        if how == "connection":
            server.cut()
        elif how == "hub":
            for pid in server.hubs():
                ssh_server.kill(pid)
        elif how == "client":
            for pid in ssh_server.clients(server.port):
                ssh_server.kill(pid)
        elif how == "any process":
            # A fork server or a process of a task, as a rule.
            with contextlib.suppress(IndexError):
                ssh_server.kill(dice.choice(server.pythons()))
        else:
            server.stop()
            server.cut()
            time.sleep(dice.uniform(0, 0.3))
            server.start()
        return f"SIGKILL: {how}"

    return strike


def _settled():
    """Makes calls with all kinds of processes, and returns what they leave open here."""
    for chain in ("default", "warm"):
        for value in (b"x", bytes(2_000_000)):
            assert ssh_tasks.on("default", chain=chain)(ssh_tasks.same)(value) == value
    return collections.Counter(seen.descriptors()), threading.active_count()


def run(dice, figures, directory):
    """Makes calls in two storms, and sees what is left of them, here and there."""
    with ssh_server.Server() as server:
        remote = server.arguments(directory=directory)
        interpreter = bandsaw.Interpreter(executable=sys.executable)
        for advice in ssh_configuration.own, ssh_configuration.warm:
            advice.add_remote(Remote(interpreter=interpreter, **remote))
        for _ in range(5):
            usual = _settled()
        memory = seen.resident_bytes()
        for calls, kills, interrupts in ((25, 4, 0), (15, 2, 2)):
            storm = Storm(dice, _task, _strike(server), _TYPED, calls, kills, interrupts)
            figures.add(storm.run())
            see_it_settle(figures, _settled, usual, _TYPED, interrupts)
        grown = seen.resident_bytes() - memory
        if grown > _MOST_GROWTH:
            figures.fault("left", f"memory grew by {grown / 1e6:.1f} MB")
        hubs, clients = len(server.hubs()), len(ssh_server.clients(server.port))
        if (hubs, clients) != (1, 1):
            figures.fault("left", f"{clients} connections here lead to {hubs} there")
        ssh_connection.close_all()
        if not server.is_empty():
            figures.fault("left", f"processes there: {server.processes()}")
        if ssh_server.clients(server.port):
            figures.fault("left", "processes here")
        if ssh_server.left_in(directory):
            figures.fault("left", f"files there: {ssh_server.left_in(directory)}")
