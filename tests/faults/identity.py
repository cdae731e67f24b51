"""Ids of generated values and programs, on every interpreter and with several hash seeds.

```
python -m tests.faults.identity [--examples 10000] [--seeds 0 1 2 3] [--pythons PATH ...]
```

Every process makes the same examples and looks in each that an id stays with equal values (the same
code), and changes with others. Their ids are then compared between all processes. Exits with 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.interpreters import interpreters

ROOT = Path(__file__).absolute().parent.parent.parent
# A program is the base of as many edits: its own id is made once.
EDITS = 8
LONGEST = 5


# In each process.


def dice(kind, number):
    """The randomness of one example: it can be made again without those before it."""
    from tests.faults.values.dice import Dice

    return Dice(random.Random(number * 2 + (kind == "programs")).random)


def examine(kind, count):
    """Makes examples.

    Args:
        kind: `values` or `programs`.
        count: How many values, or edits of programs.

    Returns:
        The faults as (`same` or `different`, number, text), and the ids of each example.
    """
    faults, ids = [], []
    if kind == "values":
        from tests.faults.values.examples import faults_of

        for number in range(count):
            _note(number, faults_of(dice(kind, number)), faults, ids)
        return faults, ids
    from tests.faults.programs.examples import Workspace, faults_of

    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        for number, first in enumerate(range(0, count, EDITS)):
            edits = min(EDITS, count - first)
            _note(number, faults_of(dice(kind, number), workspace, edits), faults, ids)
    return faults, ids


def _note(number, found, faults, ids):
    wrong, made = found
    faults += [(sort, number, text[:2000]) for sort, text in wrong]
    ids.append(hashlib.sha256(" ".join(made).encode()).hexdigest()[:12])


def work(kind, count):
    # What cannot be followed would be a warning: nothing here is like that.
    warnings.simplefilter("error")
    faults, ids = examine(kind, count)
    print(json.dumps({"version": sys.version.split()[0], "faults": faults, "ids": ids}))


# In the process that starts the others.


class Run:
    """What one process said.

    Attributes:
        python: The interpreter.
        seed: Its hash seed.
        kind: `values` or `programs`.
        count: The number of examples.
        version: The version of Python.
        faults: See `examine`.
        ids: See `examine`.
    """

    def __init__(self, python, seed, kind, count):
        self.python, self.seed, self.kind, self.count = python, seed, kind, count
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BANDSAW_")},
            "PYTHONHASHSEED": str(seed),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
        }
        module = [python, "-m", "tests.faults.identity", "--work", kind, str(count)]
        done = subprocess.run(
            module, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
        )
        if done.returncode:
            raise RuntimeError(f"{python} with hash seed {seed}: {kind}\n{done.stderr}")
        said = json.loads(done.stdout)
        self.version, self.faults, self.ids = said["version"], said["faults"], said["ids"]

    @property
    def digest(self):
        return hashlib.sha256("".join(self.ids).encode()).hexdigest()[:16]

    def row(self):
        same = sum(sort == "same" for sort, _, _ in self.faults)
        return (
            f"{self.version:9} {self.seed:>10} {self.kind:8} {self.count:>8} {same:>9} "
            f"{len(self.faults) - same:>14} {self.digest}"
        )


HEADER = "python     hash seed kind     examples same-id f different-id f digest"


def run_all(wanted, jobs=2, tell=print):
    """Starts the processes and compares what they say.

    Args:
        wanted: A list of (python, hash seed, kind, count).
        jobs: How many processes at once.
        tell: Is given a line for each.

    Returns:
        What is wrong, as lines.
    """
    problems, first = [], {}
    tell(HEADER)
    with ThreadPoolExecutor(jobs) as pool:
        for run in pool.map(lambda arguments: Run(*arguments), wanted):
            tell(run.row())
            for sort, number, text in run.faults[:LONGEST]:
                problems.append(f"{run.version} {run.kind} {number} ({sort} id): {text}")
            other = first.setdefault((run.kind, run.count), run)
            differing = [n for n, pair in enumerate(zip(run.ids, other.ids)) if len({*pair}) > 1]
            if differing or len(run.ids) != len(other.ids):
                problems.append(
                    f"{run.kind}: {run.version} (seed {run.seed}) and {other.version} (seed "
                    f"{other.seed}) differ in {len(differing)} examples, at first {differing[:9]}"
                )
    return problems


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.faults.identity", description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="of each kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="hash seeds")
    parser.add_argument("--pythons", nargs="+", help="interpreters; by default all there are")
    parser.add_argument("--kinds", nargs="+", default=["values", "programs"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", nargs=2, metavar=("KIND", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]))
        return 0
    wanted = [
        (python, seed, kind, options.examples)
        for seed in options.seeds
        for kind in options.kinds
        for python in options.pythons or interpreters().values()
    ]
    problems = run_all(wanted, options.jobs, lambda line: print(line, flush=True))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
