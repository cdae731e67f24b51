"""Interrupts a call at every place at which Python looks for signals, and counts open files.

    python interrupted.py CHAIN SIZE STEP

These places are after calls of C functions and where functions begin. `STEP`: at every how many of
them. After each interrupted call another one is made, and as many files have to be open as before.
"""

import faulthandler
import itertools
import os
import signal
import sys

import bandsaw

_HANGS_SECONDS = 60


def same(data):
    return data


def interrupted(place, act):
    """Returns where it was, `None` if there are fewer places."""
    left, where = place, None

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
        act()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return where


def open_files():
    return len(os.listdir("/proc/self/fd"))


def main(chain, size, step):
    task = bandsaw.task(chain=chain)(same)
    numbers = itertools.count()

    def act():
        data = bytes(size) + next(numbers).to_bytes(4, "big")
        assert task(data) == data

    act()
    act()
    usual, left = open_files(), []
    for place in itertools.count(0, step):
        faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
        where = interrupted(place, act)
        act()
        if open_files() != usual:
            left.append((where, open_files() - usual))
            usual = open_files()
        if where is None:
            break
    faulthandler.cancel_dump_traceback_later()
    print(f"{place} places, {len(left)} left something open", *left, sep="\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
