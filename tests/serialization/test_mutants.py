"""A few of the mutants of `python -m tests.faults.serialization`, which adds a hook for good."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_changed_data_makes_a_value_or_a_typed_error_and_does_nothing_else():
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.serialization", "--mutants", "2000"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 faults in 2000 mutants\n")
