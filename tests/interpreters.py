"""The Pythons that this machine has."""

import os
import subprocess
import sys
from pathlib import Path


def interpreters():
    """The Pythons from 3.9 on that this machine has, oldest first, as {version: executable}."""
    given = os.environ.get("BANDSAW_TEST_PYTHONS")
    candidates = given.split(os.pathsep) if given else []
    if not given:
        candidates = sorted(str(p) for p in Path.home().glob(".pyenv/versions/*/bin/python"))
        candidates += [f"python3.{minor}" for minor in range(9, 20)]
    found = {tuple(sys.version_info[:2]): sys.executable}
    for candidate in candidates:
        try:
            asked = subprocess.run(
                [candidate, "-I", "-c", "import sys; print(*sys.version_info[:2])"],
                capture_output=True,
                text=True,
            )
        except OSError:
            continue
        version = tuple(map(int, asked.stdout.split())) if asked.returncode == 0 else (0,)
        if version >= (3, 9):
            found.setdefault(version, candidate)
    return dict(sorted(found.items()))
