"""The Slurm of one node on which engines are tested."""

import os
import subprocess

import pytest

from tests.conftest import wait_until
from tests.engines.test_boundary import slurm_of_one_node

pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif("BANDSAW_TEST_ENGINES" not in os.environ, reason="needs Slurm"),
]


def below(folder):
    """Lists the processes that work in a folder."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/cwd").startswith(f"{folder}/"):
                found.append(name)
        except OSError:
            pass  # it has ended
    return found


def test_it_ends_with_the_jobs_that_run_and_those_that_wait(tmp_path):
    begun = [tmp_path / f"begun-{number}" for number in range(3)]
    with slurm_of_one_node(tmp_path) as variables:
        for path in begun:
            subprocess.run(
                ["sbatch", "--chdir", tmp_path / "slurm", "--output", "/dev/null",
                 "--wrap", f"touch {path}; exec sleep 600"],
                check=True, env={**os.environ, **variables},
            )  # fmt: skip
        wait_until(lambda: sum(path.exists() for path in begun) == 2)
        assert below(tmp_path / "slurm")
    wait_until(lambda: not below(tmp_path / "slurm"))
    assert sum(path.exists() for path in begun) == 2
