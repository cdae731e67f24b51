"""A census of the Python standard library's own source.

Finds the library's packages, parses each module, counts what is defined in it, and ranks the
packages. Each package is one task: it runs in a process of its own, several at once, and its result
is cached. Another task ranks them as soon as all are counted.

    python workflow.py [PACKAGE ...]
"""

import ast
import os
import sys
import sysconfig
import time
from pathlib import Path

import bandsaw

NO_PACKAGE = "(single modules)"
# Tests and third-party code are no part of the library, turtle demos and the like are.
EXCLUDED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


@bandsaw.task(chain="uncached")
def survey():
    """Names the Python that the tasks run in, and the packages of its library."""
    folders = [entry.name for entry in library().iterdir() if (entry / "__init__.py").exists()]
    return {
        "version": sys.version,
        "packages": [NO_PACKAGE, *sorted(set(folders) - EXCLUDED)],
    }


@bandsaw.task
def census(package, version):
    """Counts what one package defines.

    Args:
        package: The name of the package.
        version: The version of Python. It is not used: it makes the call another one, with
            another id, when Python is upgraded.
    """
    counts = {"package": package, "files": 0, "lines": 0, "classes": 0, "functions": 0}
    longest = (0, "")
    for path in modules(package):
        source = path.read_bytes()
        counts["files"] += 1
        counts["lines"] += source.count(b"\n")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                counts["classes"] += 1
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                counts["functions"] += 1
                longest = max(longest, (node.end_lineno - node.lineno + 1, node.name))
    counts["longest"] = longest
    counts["computed"] = (bandsaw.get_run_id(), os.getpid())
    return counts


@bandsaw.task(chain="uncached")
def rank(counts):
    """Puts the counts of all packages into the order of their lines."""
    return sorted(counts, key=lambda row: row["lines"], reverse=True)


def library():
    """The folder of the standard library."""
    return Path(sysconfig.get_path("stdlib"))


def modules(package):
    """The source files of a package."""
    if package == NO_PACKAGE:
        return sorted(library().glob("*.py"))
    files = (library() / package).rglob("*.py")
    return sorted(path for path in files if EXCLUDED.isdisjoint(path.relative_to(library()).parts))


def describe(function):
    """Names a function that was found, if one was."""
    length, name = function
    return f"{name} ({length} lines)" if name else "none"


def print_table(rows, shown=12):
    """Prints the largest packages and the sum over all."""
    columns = ("files", "lines", "classes", "functions")
    print(f"{'package':<18}" + "".join(f"{name:>11}" for name in columns) + "   longest function")
    for row in rows[:shown]:
        cells = "".join(f"{row[name]:>11,}" for name in columns)
        print(f"{row['package']:<18}{cells}   {describe(row['longest'])}")
    if len(rows) > shown:
        print(f"... and {len(rows) - shown} smaller ones")
    totals = "".join(f"{sum(row[name] for row in rows):>11,}" for name in columns)
    print(f"{'total':<18}{totals}   {describe(max(row['longest'] for row in rows))}")


def main(*packages):
    """Runs the workflow for some packages, or for all of them."""
    start = time.perf_counter()
    found = survey()
    # Futures, which stand for the counts in the arguments of the last call.
    counts = [census.submit(package, found["version"]) for package in packages or found["packages"]]
    rows = rank.submit(counts).result()
    seconds = time.perf_counter() - start

    print(f"The standard library of Python {found['version'].split()[0]}\n")
    print_table(rows)
    # A result that carries the id of another run was computed in that run.
    new = [row["computed"] for row in rows if row["computed"][0] == bandsaw.get_run_id()]
    print(
        f"\n{len(new)} packages counted in {len(set(new))} processes,"
        f" {len(rows) - len(new)} served by the cache, {seconds:.2f} seconds"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
