"""Looks for faults of the cache: `python -m tests.faults.cache`.

Whatever happens to the files, the processes and the system: each caller gets the right value, what
is damaged costs a warning and a computation, and nothing is left behind. Needs the packages that
the tests need, and a system with `fork`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback

from . import (
    cache_damage,
    cache_failures,
    cache_owners,
    cache_processes,
    cache_traced,
    cache_waiting,
)
from .cache_calls import deadline, sum_of


def scenarios(options):
    """Returns what there is to be looked at, by name: functions of a directory."""

    def each(function, names, *arguments):
        def run(directory):
            total = []
            for number, name in enumerate(names):
                place = os.path.join(directory, str(number))
                os.mkdir(place)
                total.append(function(place, name, *arguments))
            return sum_of(total)

        return run

    def crowd(vanish):
        return lambda directory: cache_processes.crowd(
            directory, options.operations, vanish, seed=options.seed
        )

    variants, scenes = cache_damage.VARIANTS, cache_failures.SCENES
    return {
        "kills": lambda directory: cache_processes.kills(
            directory, options.kills, options.jobs, options.seed
        ),
        "kills at each call": each(cache_failures.killed_at_each_call, scenes),
        "flipped bits": each(cache_damage.flips, variants),
        "truncations": each(cache_damage.truncations, variants),
        "damage to large entries": each(cache_damage.large, variants),
        "foreign contents": each(cache_damage.foreign, variants, options.seed),
        "failing calls": each(cache_failures.failing, scenes),
        "short transfers": each(cache_failures.failing, scenes, (None,)),
        "failing calls, traced": each(cache_traced.failing, cache_traced.SCENE_NAMES),
        "crowd, deleted": crowd("deleted"),
        "crowd, bounded": crowd("bounded"),
        "crowd, pruned": crowd("pruned"),
        "computed once": cache_waiting.once,
        "computing one killed": cache_waiting.killed,
        "computation raises": cache_waiting.raised,
        "computation raises once": cache_waiting.raised_once,
        "forked, killed": cache_waiting.survived,
        "forked, ended": cache_waiting.survived_the_end,
        "forked, waiting": cache_waiting.survived_waiting,
        "read-only directory": cache_owners.read_only,
        "for the owner only": cache_owners.owner_only,
    }


def main(arguments=None):
    """Runs the scenarios and prints a table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cache", description=__doc__)
    parser.add_argument("--kills", type=int, default=2000, help="processes to kill (2000)")
    parser.add_argument("--operations", type=int, default=40000, help="calls of a crowd (40000)")
    parser.add_argument("--jobs", type=int, default=2, help="processes that kill others (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (0)")
    parser.add_argument("--deadline", type=int, default=900, help="seconds for one of them (900)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="which ones, by default all")
    options = parser.parse_args(arguments)
    known = scenarios(options)
    unknown = set(options.only or ()) - set(known)
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(known)}")
    failed = 0
    for name in options.only or known:
        if "traced" in name and not cache_traced.is_available():
            print(f"{name:<26} skipped: there is no strace", flush=True)
            continue
        begun = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as directory, deadline(options.deadline):
                figures = known[name](directory)
            left = figures.get("temporary files left", 0)
            assert not left, f"{left} temporary files are left, {figures}"
        except AssertionError as error:
            traceback.print_exc()
            figures, failed = f"FAILED: {error}", failed + 1
        else:
            figures = ", ".join(f"{number} {what}" for what, number in figures.items())
        print(f"{name:<26} {time.monotonic() - begun:6.1f} s  {figures}", flush=True)
    print(f"{failed} of {len(options.only or known)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
