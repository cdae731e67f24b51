"""Ids of generated values and programs, on every interpreter and with several hash seeds.

Every process makes the same examples and looks in each that an id stays with equal values (the same
code), and changes with others. Their ids are then compared between all processes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.interpreters import interpreters

from .programs.examples import Workspace
from .programs.examples import faults_of as faults_of_program
from .values.dice import Dice
from .values.examples import faults_of as faults_of_value

ROOT = Path(__file__).absolute().parent.parent.parent
# A program is the base of as many edits: its own id is made once.
EDITS = 8


# In each process.


def dice(seed, kind, number):
    """The randomness of one example: it can be made again without those before it."""
    return Dice(random.Random(f"{seed} {kind} {number}").random)


def examine(seed, values, programs):
    """Makes examples.

    Args:
        seed: Of the random numbers.
        values: How many values.
        programs: How many programs, each of which is edited.

    Returns:
        The faults as texts, and the ids of each example.
    """
    faults, ids = [], []

    def note(kind, number, found):
        wrong, made = found
        faults.extend(f"{kind} {number}, {sort} id: {text[:2000]}" for sort, text in wrong)
        ids.append(f"{kind} {number}: {' '.join(made)}")

    for number in range(values):
        note("value", number, faults_of_value(dice(seed, "values", number)))
    with tempfile.TemporaryDirectory() as folder, Workspace(folder) as workspace:
        for number in range(programs):
            found = faults_of_program(dice(seed, "programs", number), workspace, EDITS)
            note("program", number, found)
    return faults, ids


# In the process that starts the others.


def said_by(python, hash_seed, *arguments):
    """Returns what one process says: its faults and its ids."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BANDSAW_")},
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    command = [python, "-W", "error", "-m", __name__, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{python} with hash seed {hash_seed}: {done.stderr}")
    return json.loads(done.stdout)


def run(dice, figures, directory, values=200, programs=4):
    """Has all interpreters make the same examples, each with a hash seed of its own."""
    seed, first = dice.getrandbits(64), None
    for version, python in interpreters().items():
        faults, ids = said_by(python, dice.getrandbits(32), seed, values, programs)
        figures.calls += len(ids)
        figures.inject("values changed", values)
        figures.inject("programs edited", EDITS * programs)
        figures.faults += [("wrong", f"{version}: {text}") for text in faults]
        first = first or ids
        differing = [pair for pair in zip(first, ids) if len({*pair}) > 1]
        if differing or len(ids) != len(first):
            figures.fault("wrong", f"{version} makes other ids: {differing[:3]}")


if __name__ == "__main__":
    print(json.dumps(examine(*map(int, sys.argv[1:]))))
