"""Interrupts something at every place at which Python looks for signals, and counts what is left.

    python interrupted.py CHAIN SIZE STEP       a call
    python interrupted.py fork-server SIZE STEP the start of what starts processes
    python interrupted.py login SIZE STEP       the command that leads to a machine, here a pipe
    python interrupted.py entry SIZE STEP       the look into an entry of a cache of that size

These places are after calls of C functions and where functions begin. `STEP`: at every how many of
them. After each one that was interrupted it is done again, and as many files have to be open and
as many processes have to be there as before.
"""

import faulthandler
import gc
import itertools
import os
import signal
import subprocess
import sys
import time

import bandsaw

_HANGS_SECONDS = 60


def same(data):
    return data


def interrupted(place, act, end):
    """Returns where it was, `None` if there are fewer places."""
    left, where, made = place, None, None

    def profile(frame, event, arg):
        nonlocal left, where
        if event not in ("call", "c_return") or arg is sys.setprofile:
            return
        if left == 0:
            where = f"{frame.f_code.co_filename}:{frame.f_lineno}, {event} {arg}"
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)
        left -= 1

    try:
        sys.setprofile(profile)
        made = act()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    if made is not None:
        end(made)
    return where


def what_is_there():
    """Counts open files and started processes, ended ones that nobody has waited for as well."""
    subprocess._cleanup()
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return len(os.listdir("/proc/self/fd")), len(file.read().split())


def what_stays(usual):
    """Counts again until it is as usual: what has lost its owner ends by itself."""
    deadline = time.monotonic() + 5
    while (found := what_is_there()) != usual and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    return found


def calling(chain, size):
    task = bandsaw.task(chain=chain)(same)
    numbers = itertools.count()

    def act():
        data = bytes(size) + next(numbers).to_bytes(4, "big")
        assert task(data) == data

    return act, lambda made: None


def starting_fork_servers(size):
    from bandsaw._workers import fork_server_start, near_fork_server

    kinds, start = [], fork_server_start.started
    fork_server_start.started = lambda *given: kinds.append(given) or start(*given)
    calling("kept", size)[0]()

    return lambda: start(*kinds[0]), near_fork_server.LocalForkServer.close


def logging_in(size):
    from bandsaw._workers.ssh.ssh_start import Login, Target

    target = Target("here", ("cat",), os.getcwd(), sys.executable)

    def end(login):
        login.close_in()
        login.finish(is_read=True)
        login.close()

    return lambda: Login(target), end


def reading_entries(size):
    from bandsaw._cache import entry

    folder = os.path.join(os.getcwd(), "task")
    os.mkdir(folder, 0o700)
    ids = entry.ids_of(folder, "name")
    descriptor = os.open(os.path.join(folder, "name"), os.O_CREAT | os.O_WRONLY, 0o600)
    for part in entry.packed(ids, b"", [bytes(10)], [memoryview(bytes(size))]):
        os.write(descriptor, part)
    os.close(descriptor)

    def act():
        for mapped in (False, True):
            assert entry.read(folder, "name", mapped=mapped).payload == bytes(10)
        assert entry.read_record(os.path.join(folder, "name")) == b""
        assert entry.has_mark(os.path.join(folder, "name"))

    return act, lambda made: None


OTHERS = {"fork-server": starting_fork_servers, "login": logging_in, "entry": reading_entries}


def main(chain, size, step):
    act, end = OTHERS[chain](size) if chain in OTHERS else calling(chain, size)
    end(act())
    end(act())
    usual, left = what_is_there(), []
    for place in itertools.count(0, step):
        faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
        where = interrupted(place, act, end)
        end(act())
        found = what_stays(usual)
        if found != usual:
            left.append((where, f"{usual} files and processes became {found}"))
            usual = found
        if where is None:
            break
    faulthandler.cancel_dump_traceback_later()
    print(f"{place} places, {len(left)} left something open", *left, sep="\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
