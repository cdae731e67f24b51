"""What ids cost, against the plain hash of the same bytes and against a peer."""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import bandsaw
from bandsaw import fingerprint

from . import calls
from .measure import peak

TITLE = "Ids"

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


def bulk_hashes(bench, array):
    """Measures the hashes that can be asked for, as far as they are installed."""
    names = [name for name in ("blake3", "xxhash") if importlib.util.find_spec(name)]
    bench.compare(
        "The id of 100 MB with a hash that was asked for",
        ours={
            str(name or "SHA-256"): lambda name=name: fingerprint.execution_id_of(
                {"x": array}, bulk_hash=name
            )
            for name in (None, *names)
        },
    )


def main(bench):
    """Measures everything."""
    task = bandsaw.task(config=CONFIG)(small).bandsaw_task
    peers = {}
    try:
        import joblib
    except ImportError:
        bench.skip("joblib.hash: joblib is not installed")
    else:
        peers["joblib.hash"] = lambda: joblib.hash(((1,), {"c": "y"}))
    ours = {"execution id": lambda: task.execution_id_of((1,), {"c": "y"})}
    bench.compare("The id of a small call", ours=ours, peers=peers)

    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        write_project(Path(name))
        sys.path.insert(0, name)
        function = importlib.import_module("bench_module_0").f0
        sys.path.remove(name)
        texts = [path.read_text() for path in sorted(Path(name).glob("*.py"))]
        bench.compare(
            f"The fingerprint of {MODULES * FUNCTIONS} functions in {MODULES} modules",
            floors={"ast.parse of the modules": lambda: [ast.parse(text) for text in texts]},
            ours={"fingerprint": lambda: fingerprint.fingerprint(function)},
        )

    def hashed(data):
        return {
            "floors": {"SHA-256": lambda: hashlib.sha256(data).digest()},
            "ours": {"execution id": lambda: fingerprint.execution_id_of({"x": data})},
        }

    bench.series("Bytes of an argument, its id", calls.SIZES, lambda size: hashed(os.urandom(size)))
    try:
        import numpy
    except ImportError:
        bench.skip("ids of arrays: numpy is not installed")
        return
    peaks = {}
    for name, array in layouts(numpy).items():
        content = numpy.ascontiguousarray(array).reshape(-1).view("u1")
        bench.compare(
            f"The id of 100 MB, {name}",
            floors={"SHA-256": lambda content=content: hashlib.sha256(content).digest()},
            ours={"execution id": lambda array=array: fingerprint.execution_id_of({"x": array})},
        )
        if name == "C order":
            bulk_hashes(bench, array)
        if name in ("C order", "Fortran order, 3-D"):
            peaks[name] = peak(lambda array=array: fingerprint.execution_id_of({"x": array}))
    if None not in peaks.values():
        bench.memory("Memory for the id of an array of 100 MB", peaks)
