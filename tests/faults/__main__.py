"""Looks for counterexamples to what the library promises, by breaking what it runs on.

Processes are killed at random moments, system calls fail, bytes are flipped and cut, the server is
killed, the disk is full, calls are interrupted. Exits with 1 if a fault was found, with 130 after
Ctrl-C.
"""

from __future__ import annotations

import argparse
import compileall
import secrets
import shutil
import signal
import sys
import time

from tests.arguments import new_file, positive

from . import page
from .campaigns import CAMPAIGNS, lacking
from .figures import Figures
from .rounds import ROOT, one_round

_MOST_SHOWN = 3
_INTERRUPTED = 130


def _counted(faults):
    return f"{len(faults) or 'no'} {'fault' if len(faults) == 1 else 'faults'}"


def _parser(known):
    listed = "\n".join(f"  {name:<14} {each.about}" for name, each in known.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        epilog=f"campaigns:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="a campaign, by default all")
    parser.add_argument("--minutes", type=positive(float), default=10.0, help="for all (10)")
    parser.add_argument("--rounds", type=positive(int), help="for each, in place of a time")
    parser.add_argument("--seed", type=int, help="of the first round of each, by default any")
    parser.add_argument(
        "--json", type=new_file, metavar="FILE", help="where to write the figures as well"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write them to {page.JSON.name} and {page.PAGE.name}"
    )
    return parser


class Looks:
    """What one campaign has come to.

    Attributes:
        figures: The figures.
        rounds: How many rounds there were.
    """

    def __init__(self, name):
        self.name = name
        self.figures = Figures()
        self.rounds = 0

    def look(self, campaign, seed, rounds, seconds):
        """Makes rounds, so many or until the time is over, and no more after one that hung."""
        end = time.monotonic() + seconds
        while not self.figures.found("hang"):
            if self.rounds and (self.rounds >= rounds if rounds else time.monotonic() > end):
                break
            found = one_round(campaign, seed + self.rounds)
            # One that finds a fault in each round does not have to tell of each.
            if found.faults and len(self.figures.faults) < _MOST_SHOWN:
                self._show(found.faults, seed + self.rounds)
            self.figures.add(found)
            self.rounds += 1

    def _show(self, faults, seed):
        for sort, text in faults[:_MOST_SHOWN]:
            print(f"{self.name}: {sort}: {text}", flush=True)
        again = f"python -m tests.faults {self.name} --rounds 1 --seed {seed}"
        print(f"{self.name}: {_counted(faults)}; the same again: {again}", flush=True)


def main(arguments=None, known=CAMPAIGNS):
    """Runs campaigns and prints their figures.

    Args:
        arguments: Of the command line, by default those of this process.
        known: The campaigns by their names.

    Returns:
        The exit status.
    """
    parser = _parser(known)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"there is no campaign {', '.join(unknown)}; there are: {', '.join(known)}")
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    if options.write and options.names:
        parser.error("--write needs all of them in one run: leave the names out")
    names = list(dict.fromkeys(options.names or known))
    # Python may leave half of what it compiles on a disk that is full.
    compileall.compile_dir(ROOT / "bandsaw", quiet=2)
    begun, looks, status = time.monotonic(), [], 0
    try:
        for number, name in enumerate(names):
            missing = lacking(known[name])
            if missing:
                print(f"{name}: skipped, this needs {' and '.join(missing)}", flush=True)
                continue
            looks.append(Looks(name))
            left = 60 * options.minutes - (time.monotonic() - begun)
            looks[-1].look(known[name], seed, options.rounds, left / (len(names) - number))
            took = time.monotonic() - begun
            print(f"{name}: {looks[-1].rounds} rounds, {took:.0f} s so far", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the figures so far:", flush=True)
        status = _INTERRUPTED
    told = page.figures_of(looks, seed, (time.monotonic() - begun) / 60)
    print(page.plain_table(told, shutil.get_terminal_size((100, 24)).columns))
    if options.json:
        options.json.write_text(page.as_json(told), encoding="utf-8")
    if options.write and len(looks) == len(known) and not status:
        page.write(told)
    elif options.write:
        print(f"{page.PAGE.name} stays as it is: not every campaign was run")
    faults = [fault for each in looks for fault in each.figures.faults]
    print(f"{_counted(faults)}, seed {seed}")
    return 1 if faults else status


if __name__ == "__main__":
    # As after Ctrl-C: what runs is ended, and its files are removed. A shell that starts this in
    # the background has Ctrl-C ignored, here and in what campaigns interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
