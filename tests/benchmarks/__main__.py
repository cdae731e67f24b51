"""Runs benchmarks: `python -m tests.benchmarks [calls] [cache] ...`, by default all of them."""

import argparse
import importlib
import time

import pyperf

from tests.arguments import new_file, positive

from . import report
from .measure import Bench

MODULES = (
    *("startup", "first_call", "calls", "identity", "large", "cache", "sharing", "serialization"),
    *("workers", "futures", "engines", "ssh"),
)


def main():
    """Runs those that were named, and prints or writes what came out."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures bandsaw side by side with plain Python and with other packages. "
        "Prints durations, and ratios of what was measured in the same rounds.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODULES))
    parser.add_argument(
        "--seconds",
        type=positive(float),
        default=3.0,
        help="how long to measure a table (default: 3)",
    )
    parser.add_argument("--json", type=new_file, metavar="FILE", help="keep it, as pyperf does")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write it, tables and plots, into the documentation; with names, those sections only",
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(MODULES)
    if unknown:
        parser.error(f"there are {', '.join(MODULES)}, and no {', '.join(sorted(unknown))}")
    if options.write:
        try:
            import matplotlib  # noqa: F401 (better now than after all has been measured)
        except ImportError:
            parser.error("--write draws with matplotlib: pip install -e '.[benchmarks]'")
    bench = Bench(options.seconds)
    begun = time.monotonic()
    for name in dict.fromkeys(options.names or MODULES):
        module = importlib.import_module(f"{__package__}.{name}")
        bench.section = module.TITLE
        module.main(bench)
    suite = bench.suite()
    print(f"\n{report.goals_of(suite)}\nIt took {time.monotonic() - begun:.0f} s.")
    if options.json:
        suite.dump(str(options.json), replace=True)
    if options.write:
        if options.names:
            suite = report.joined(pyperf.BenchmarkSuite.load(str(report.DATA)), suite)
        suite.dump(str(report.DATA), replace=True)
        report.write(pyperf.BenchmarkSuite.load(str(report.DATA)))


if __name__ == "__main__":
    main()
