"""What the ids of a large project cost: the first time, in later processes, and after an edit."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bandsaw

TITLE = "Ids of a large project"

MODULES, FUNCTIONS = 100, 30
WORKFLOW = """
import re, resource, sys
import bandsaw

@bandsaw.task
def first():
    import project.m0
    return project.m0.f0(1)

@bandsaw.task
def second():
    import project.m1
    return project.m1.f1(1)

if __name__ == "__main__":
    for task in (first, second)[:int(sys.argv[1])]:
        task.bandsaw_task.task_id
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "linux":
        # The other one begins with that of the process that started this one.
        with open("/proc/self/status") as status:
            peak = re.search(r"VmHWM:\\s*(\\d+)", status.read())[1]
    print(peak)
"""
FUNCTION = """
def f{name}(x, y={name}, *, given=None):
    total = [each for each in range(x) if each not in TABLE]
    for item, other in enumerate(TABLE.values()):
        total.append({other}.f{name}(item + other) if given is None else given(total, y))
    try:
        return Kind(total).measured(len(total), TABLE["{name}"])
    except (KeyError, ValueError) as error:
        return {{"error": str(error), "given": given, "of": f{below}(x - 1)}}
"""
CLASS = """
class Kind:
    level = {index}

    def __init__(self, values):
        self.values = values

    def measured(self, size, way):
        return [way, self.level, *self.values[:size]]
"""


def main(bench):
    """Measures whole processes that make the ids of tasks which reach all modules of a package."""
    with tempfile.TemporaryDirectory() as name:
        _measure(bench, Path(name))


def write_project(folder):
    """Writes a package whose modules all import two others, in a circle."""
    package = folder / "project"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for index in range(MODULES):
        others = [f"m{(index + step) % MODULES}" for step in (1, 7)]
        parts = [f"from project import {', '.join(others)}\n"]
        parts.append(f"TABLE = {{str(n): n * {index} for n in range({FUNCTIONS})}}\n")
        parts.append(CLASS.format(index=index))
        for name in range(FUNCTIONS):
            below, other = (name + 1) % FUNCTIONS, others[name % 2]
            parts.append(FUNCTION.format(name=name, below=below, other=other))
        (package / f"m{index}.py").write_text("".join(parts))
    (folder / "workflow.py").write_text(WORKFLOW)
    (folder / "bandsaw_config.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    )


def _measure(bench, folder):
    write_project(folder)
    home, edited = folder / "home", folder / "project" / "m5.py"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(bandsaw.__file__).parent.parent),
        "BANDSAW_HOME": str(home),
    }
    edits = iter(range(1_000_000))

    def ids(number=1):
        command = [sys.executable, "-W", "ignore", "workflow.py", str(number)]
        ran = subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
        return int(ran.stdout) * (1 if sys.platform == "darwin" else 1024)

    def first():
        shutil.rmtree(home, ignore_errors=True)
        return ids()

    def after_an_edit():
        with edited.open("a") as file:
            file.write(f"LAST = {next(edits)}\n")
        return ids()

    command = [sys.executable, "-c", "import ast, pathlib\nfor path in pathlib.Path('project')"
               ".iterdir():\n    if path.suffix: ast.parse(path.read_bytes())"]  # fmt: skip
    bench.compare(
        f"The ids of a project of {MODULES} modules in a process of their own",
        floors={
            "ast.parse of the modules": lambda: subprocess.run(command, check=True, cwd=folder)
        },
        ours={
            "a later process": ids,
            "the first process": first,
            "after an edit of a module": after_an_edit,
            "a later process, two tasks": lambda: ids(2),
        },
    )
    bench.memory(
        f"Memory of a process with the id of a task that reaches {MODULES} modules",
        {"the first process": first(), "a later process": ids()},
    )
