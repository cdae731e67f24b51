"""What ids cost, against the plain hash of the same bytes and against a peer."""

import hashlib
import importlib
import sys
import tempfile
import tracemalloc
from pathlib import Path

import bandsaw
from bandsaw import fingerprint

from .measure import table

CONFIG = f"{__package__}.configuration"
MODULES, FUNCTIONS = 5, 4


def small(a, b=2, c="x"):
    """A function with small arguments."""
    return a


def layouts(numpy):
    """Arrays of 100 MB in all kinds of layouts, by name."""
    random = numpy.random.default_rng(0)
    cube = random.random((232, 232, 232))
    square = random.random((3535, 3535))
    return {
        "C order": square,
        "Fortran order, 2-D": numpy.asfortranarray(square),
        "Fortran order, 2-D, tall": numpy.asfortranarray(random.random((125_000, 100))),
        "Fortran order, 2-D, wide": numpy.asfortranarray(random.random((100, 125_000))),
        "Fortran order, 3-D": numpy.asfortranarray(cube),
        "Fortran order, 3-D, wide": numpy.asfortranarray(random.random((10, 1250, 1000))),
        "axes 1, 0, 2": cube.transpose(1, 0, 2),
        "axes 1, 2, 0": cube.transpose(1, 2, 0),
        "axes 2, 0, 1": cube.transpose(2, 0, 1),
        "every second row": random.random((7070, 3535))[::2],
        "every second column": random.random((3535, 7070))[:, ::2],
        "backwards": square[::-1, ::-1],
        "broadcast": numpy.broadcast_to(random.random(3535), (3535, 3535)),
        "float32, Fortran order, 3-D": numpy.asfortranarray(
            random.random((292, 292, 292), dtype="f4")
        ),
        "uint8, Fortran order, 2-D": numpy.asfortranarray(
            random.integers(0, 255, (10_000, 10_000), dtype="u1")
        ),
    }


def write_project(folder):
    """Writes five modules of four functions each, all of which the first one reaches."""
    for number in range(MODULES):
        lines = []
        if number + 1 < MODULES:
            lines.append(f"import bench_module_{number + 1}")
        for name in range(FUNCTIONS):
            below = f"f{name + 1}(x)" if name + 1 < FUNCTIONS else "x"
            if name + 1 == FUNCTIONS and number + 1 < MODULES:
                below = f"bench_module_{number + 1}.f0(x)"
            lines += [f"LIMIT_{name} = {name}", f"def f{name}(x, y={name}):"]
            lines += [f"    total = y + LIMIT_{name}"]
            lines += [f"    for item in range({name}):", "        total += item * x"]
            lines += [f"    return total + {below}", ""]
        (folder / f"bench_module_{number}.py").write_text("\n".join(lines))


def main():
    """Measures everything."""
    task = bandsaw.task(config=CONFIG)(small).bandsaw_task
    calls = {"execution id": lambda: task.execution_id_of((1,), {"c": "y"})}
    goals = []
    try:
        import joblib
    except ImportError:
        print("joblib is not installed")
    else:
        calls["joblib.hash"] = lambda: joblib.hash(((1,), {"c": "y"}))
    table("The id of a small call", calls, ["execution id"], goals=goals)

    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        write_project(Path(name))
        sys.path.insert(0, name)
        function = importlib.import_module("bench_module_0").f0
        sys.path.remove(name)
        calls = {
            "fingerprint": lambda: fingerprint.fingerprint(function),
            "parse one module": lambda: compile(
                (Path(name) / "bench_module_0.py").read_text(), "x", "exec"
            ),
        }
        title = f"The fingerprint of {MODULES * FUNCTIONS} functions in {MODULES} modules"
        table(title, calls, ["parse one module"], rounds=20, number=10)

    try:
        import numpy
    except ImportError:
        print("numpy is not installed")
        return
    print("\nThe id of 100 MB")
    for name, array in layouts(numpy).items():
        data = numpy.ascontiguousarray(array)
        content = data.reshape(-1).view("u1")
        calls = {
            "SHA-256": lambda content=content: hashlib.sha256(content).digest(),
            name: lambda array=array: fingerprint.execution_id_of({"x": array}),
        }
        tracemalloc.start()
        calls[name]()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        goal = "at most 1.05" if name == "C order" else "at most 1.6"
        goals = [(name, "SHA-256", goal)]
        table(
            f"{name}: peak {peak / 1e6:.1f} MB", calls, ["SHA-256"], rounds=9, number=1, goals=goals
        )
