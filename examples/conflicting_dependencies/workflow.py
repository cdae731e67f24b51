"""One workflow whose steps need two versions of NumPy that cannot be installed together.

The data: the length of every line of the standard library's modules, as they lie on this machine.

- `inequality_2019` was written for NumPy 1 and uses names that NumPy 2 has removed.
- `inequality_2024` uses names that NumPy 1 does not have.
- `margins` is code that both versions run, and to which they give different answers.

The process that runs the workflow needs no NumPy at all. The environments with NumPy are made when
the first task needs them: see `bandsaw_config.py`.
"""

import importlib.util
import sys
import sysconfig
from pathlib import Path

import bandsaw

OLD, NEW = "numpy-1", "numpy-2"


def line_lengths():
    """The real data: for each module of the standard library, the lengths of its lines."""
    folder = Path(sysconfig.get_path("stdlib"))
    return {
        path.stem: [len(line) for line in path.read_bytes().splitlines()]
        for path in sorted(folder.glob("*.py"))
    }


@bandsaw.task(chain=OLD)
def inequality_2019(sizes):
    """How unequal the sizes are, from 0 to 1 (Gini coefficient), by the area below a curve."""
    import numpy as np

    shares = np.cumsum(np.sort(np.array(sizes, dtype=np.float_)))
    curve = np.concatenate([[0.0], shares / shares[-1]])
    return float(1 - 2 * np.trapz(curve, dx=1 / len(sizes)))


@bandsaw.task(chain=NEW)
def inequality_2024(sizes):
    """The same, as one writes it today."""
    import numpy as np

    shares = np.cumsum(np.sort(np.asarray(sizes, dtype=np.float64)))
    curve = np.concat([[0.0], shares / shares[-1]])
    return float(1 - 2 * np.trapezoid(curve, dx=1 / len(sizes)))


def margins(lengths):
    """Three questions to which the answer depends on the version of NumPy."""
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")  # NumPy 2 warns when a number does not fit
    lengths = np.array(lengths)
    longest = np.uint8(lengths[lengths < 256].max())
    wide = longest + 100

    smooth = np.float32(0)
    for length in lengths[:2000]:
        smooth = smooth * 0.99 + float(length) * 0.01

    return {
        "longest line, in 8 bits": str(longest),
        "... plus a margin of 100": f"{wide} ({wide.dtype})",
        "smoothed length": f"{float(smooth):.12f} ({smooth.dtype})",
        "repr of a mean": repr(lengths.mean().round(2)),
        "np.product": "there" if hasattr(np, "product") else "removed",
        "np.trapezoid": "there" if hasattr(np, "trapezoid") else "not yet",
    }


def versions():
    """Which versions a task meets."""
    import numpy as np

    return {"NumPy": np.__version__, "Python": sys.version.split()[0]}


def main():
    """Runs the workflow."""
    lengths = line_lengths()
    lines = [length for module in lengths.values() for length in module]
    sizes = [len(module) for module in lengths.values()]

    # The decorator is a function: one step, as a task for each environment.
    answers = []
    for chain in (OLD, NEW):
        answer = bandsaw.task(chain=chain)(versions)()
        answer.update(bandsaw.task(chain=chain)(margins)(lines))
        answers.append(answer)
    answers[0]["Gini coefficient"] = f"{inequality_2019(sizes):.10f} (np.trapz)"
    answers[1]["Gini coefficient"] = f"{inequality_2024(sizes):.10f} (np.trapezoid)"

    here = "a NumPy of its own" if importlib.util.find_spec("numpy") else "no NumPy"
    print(f"{len(lines):,} lines in {len(sizes)} modules of the standard library")
    print(f"This process: Python {sys.version.split()[0]} with {here}\n")
    print(f"{'':<28}{OLD:<32}{NEW}")
    for key in answers[0]:
        print(f"{key:<28}{answers[0][key]:<32}{answers[1][key]}")


if __name__ == "__main__":
    main()
