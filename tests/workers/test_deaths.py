import json
import re
import sys

import pytest

from tests.faults.workers_deaths import PHASES, WAYS

pytestmark = pytest.mark.slow


ENDINGS = {
    "exit 0": (0, "exit code 0"),
    "exit 3": (3, "exit code 3"),
    "_exit 7": (7, "exit code 7"),
    "SIGSEGV": (-11, "signal SIGSEGV (11)"),
    "SIGKILL": (-9, "signal SIGKILL (9)"),
    "SIGABRT": (-6, "signal SIGABRT (6)"),
}
# What does not end the process.
ERRORS = {
    "memory, loading": "DeserializationError",
    "memory, running": "MemoryError",
    "memory, saving": "UnserializableError",
    "unpicklable, loading": "DeserializationError",
    "unpicklable, running": "OwnError",
    "unpicklable, saving": "UnserializableError",
}


@pytest.mark.parametrize("mode", ["own", "spawn", "warm"], ids=str)
def test_each_death_at_each_moment_is_explained_and_leaves_nothing(project, left_nothing, mode):
    done = project.run("-m", "tests.faults.workers_deaths", mode)
    cells = json.loads(done.stdout)
    assert list(cells) == [f"{way}, {phase}" for way in WAYS for phase in PHASES]
    for name, cell in cells.items():
        assert cell["next call"] == 1, name
        assert cell["left"] is None, name
        way, words = name.partition(",")[0], f"last words: {name}"
        if way.startswith("exit"):
            assert cell["types"][0] == "SystemExit"  # the caller's, as if it had run there
            continue
        if name in ERRORS:
            assert cell["types"][0] == ERRORS[name]
            if "running" in name:
                continue  # the task's own error, which says what it wants
        else:
            code, how = ENDINGS[way]
            assert cell["types"][0] == "WorkerDiedError"
            assert "CalledProcessError" in cell["types"]
            assert cell["returncode"] == code
            assert how in cell["message"], name
            assert words in cell["message"]
            assert words in cell["stderr"]
        if way in ("SIGSEGV", "SIGABRT"):
            assert "workers_deaths.py" in cell["stderr"], name
        assert "task tests.faults.workers_deaths.call" in cell["message"]
        assert re.search(r"execution [0-9a-f]{16}", cell["message"]), name
        assert f"interpreter {sys.executable}" in cell["message"]
        assert re.search(r"pid \d+", cell["message"]), name
    explained = [cell for name, cell in cells.items() if not name.startswith("exit")]
    executions = {re.search("execution ([0-9a-f]{16})|$", cell["message"])[1] for cell in explained}
    assert len(executions - {None}) == len(explained) - 2
    left_nothing()
