"""What it costs to import bandsaw and to build an archive, in processes that do only that."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipapp
from pathlib import Path

import bandsaw

from . import workers_tasks

TITLE = "Start, import and archives"

USE = "import bandsaw; bandsaw.task; bandsaw.Configuration()"


def main(bench):
    """Measures everything."""

    def program(text):
        command = [sys.executable, "-c", text]
        return lambda: subprocess.run(command, check=True)

    peers = {
        f"import {name}": program(f"import {name}")
        for name in ("joblib", "execnet", "distributed")
        if importlib.util.find_spec(name)
    }
    bench.compare(
        "Start and import",
        floors={
            "python -c pass": program("pass"),
            "import json, logging, pathlib": program("import json, logging, pathlib"),
        },
        ours={"import bandsaw, and use it": program(USE)},
        peers=peers,
    )

    module = workers_tasks.configuration.module_name
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name) / "source", Path(name) / "archive.pyz"
        shutil.copytree(
            Path(bandsaw.__file__).parent,
            folder / "bandsaw",
            ignore=shutil.ignore_patterns("__pycache__"),
        )

        def build():
            archive.unlink(missing_ok=True)
            assert bandsaw.distribution.DistributionArchive(archive, module).path.exists()

        def zipped():
            zipapp.create_archive(folder, archive, main="bandsaw.runner:main", compressed=True)

        bench.compare("An archive", floors={"zipapp": zipped}, ours={"build": build})
