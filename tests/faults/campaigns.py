"""The campaigns: functions of random numbers and figures, each of which makes one short round.

A round does what its random numbers say: the same seed does the same again, as far as the system
does. How many rounds there are is up to who asks for them, see `rounds`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from typing import NamedTuple


class Campaign(NamedTuple):
    """What is injected, and what it takes.

    Attributes:
        function: `module:function`.
        about: What is done, in a few words.
        needs: What has to be there, of `NEEDS`.
    """

    function: str
    about: str
    needs: tuple[str, ...] = ("Linux",)


def _with_numpy(function, about, *needs):
    return Campaign(f"{__package__}.{function}", about, ("Linux", "numpy", *needs))


def _engine(name, *needs):
    about = "workers of an executor and processes below them are killed, calls cancelled"
    return Campaign(f"{__package__}.engines:{name}", about, ("Linux", *needs))


CAMPAIGNS = {
    "cache-kills": _with_numpy("cache_processes:kills", "writers to a cache are killed"),
    "cache-crowd": _with_numpy(
        "cache_processes:crowds", "entries vanish while a crowd asks for them"
    ),
    "cache-once": _with_numpy("cache_waiting:run", "who computes for others is killed, or raises"),
    "cache-damage": _with_numpy("cache_damage:run", "entries are flipped, cut and exchanged"),
    "cache-calls": _with_numpy(
        "cache_failures:run", "system calls of the cache fail, or never return"
    ),
    "cache-modes": _with_numpy(
        "cache_owners:run", "a cache cannot be written, or the mask is open"
    ),
    "traced": _with_numpy("traced:run", "the kernel lets system calls fail", "strace"),
    "disk": _with_numpy("disk:run", "the disk is full"),
    "archives": _with_numpy("archives:run", "archives are flipped and cut, and fail to be written"),
    "serialization": _with_numpy("serialization:run", "serialized values and sessions are changed"),
    "frames": Campaign(f"{__package__}.frames:run", "what travels between processes is changed"),
    "identity": Campaign(f"{__package__}.identity:run", "values and programs are changed", ()),
    "deaths": Campaign(f"{__package__}.workers_deaths:run", "processes of tasks end in all ways"),
    "soak": Campaign(f"{__package__}.workers_soak:run", "many calls, of which some fail"),
    "graphs": Campaign(
        f"{__package__}.graphs:run", "submitted calls fail, are killed and cancelled"
    ),
    "workers": Campaign(f"{__package__}.workers:run", "processes are killed, calls interrupted"),
    "files": Campaign(
        f"{__package__}.files:run",
        "files travel while connections, their processes and the server are killed",
        ("Linux", "sshd"),
    ),
    "parents": Campaign(f"{__package__}.parents:run", "workflows are killed and interrupted"),
    "ssh": Campaign(
        f"{__package__}.ssh:run",
        "connections, their processes and the server are killed, calls interrupted",
        ("Linux", "sshd"),
    ),
    "shared": _with_numpy(
        "shared:run",
        "a store on a server that is killed and cut off, and whose entries are damaged",
        *("sshd", "fsspec", "paramiko"),
    ),
    "recorder": Campaign(
        f"{__package__}.recorder:run", "processes that record are killed, records are changed"
    ),
    "engines-pool": _engine("pool"),
    "engines-loky": _engine("loky", "loky"),
    "engines-dask": _engine("dask", "distributed"),
    "engines-ray": _engine("ray", "ray"),
    "engines-slurm": _engine("slurm", "submitit", "slurmctld"),
}


def _tool(name):
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(name, path=path) is not None


def _module(name):
    return importlib.util.find_spec(name) is not None


_MODULES = ("numpy", "fsspec", "paramiko", "loky", "distributed", "ray", "submitit")
NEEDS = {
    "Linux": lambda: os.path.exists("/proc/self/environ") and hasattr(os, "fork"),
    **{name: functools.partial(_module, name) for name in _MODULES},
    "strace": lambda: _tool("strace"),
    # For Slurm one has to be root.
    "slurmctld": lambda: _tool("slurmctld") and not os.geteuid(),
    "sshd": lambda: all(map(_tool, ("ssh", "sshd", "ssh-keygen"))),
}


def lacking(campaign):
    """Returns what a campaign needs and this machine does not have, as a list."""
    return [name for name in campaign.needs if not NEEDS[name]()]
