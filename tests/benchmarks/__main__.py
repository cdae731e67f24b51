"""Runs benchmarks: `python -m tests.benchmarks [cache] [identity] ...`, by default all of them."""

import importlib
import platform
import sys

MODULES = ("identity", "cache", "serialization", "workers", "ssh")


def main():
    """Runs those that were named."""
    names = sys.argv[1:] or MODULES
    unknown = set(names) - set(MODULES)
    if unknown:
        sys.exit(f"there are {', '.join(MODULES)}, and no {', '.join(sorted(unknown))}")
    print(f"Python {platform.python_version()} on {platform.platform()}")
    for name in names:
        importlib.import_module(f"{__package__}.{name}").main()


if __name__ == "__main__":
    main()
