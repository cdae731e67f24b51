"""The far end: what a distribution archive does when it is executed.

    --input FILE ─► restore ─► proceed ─► save ─► --output FILE

The output appears whole or not at all. It holds the session, or in its place the error that kept
the session from going on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Optional

from . import distribution, modules
from ._files import whole_file
from .interpreter import PATH_VARIABLE
from .run import set_run_id
from .session import Session
from .workers import lifeline

IS_FAR_END = True


def main(args: Optional[Sequence[str]] = None) -> int:
    """Restores a session, proceeds with it, and saves it.

    Args:
        args: `--input FILE --output FILE --run-id ID`, all required. By default the arguments of
            the process.

    Returns:
        The exit status: 0 if the output was written.

    Raises:
        SystemExit: If the arguments are wrong, with status 2.
    """
    parser = argparse.ArgumentParser(
        prog="bandsaw.runner", description="Executes a task that was sent here."
    )
    parser.add_argument("--input", metavar="FILE", required=True, help="the session to go on with")
    parser.add_argument("--output", metavar="FILE", required=True, help="where it is saved then")
    parser.add_argument("--run-id", metavar="ID", required=True, help="the id of the run")
    parsed = parser.parse_args(args)
    if getattr(sys.modules["__main__"], "IS_FAR_END", False):
        modules.is_far_end = True
        modules.signed_by = getattr(sys.modules["__main__"], "SIGNED_BY", None)
        lifeline.follow()
        _take_over_path()
        # What this process makes for calls of its own goes with the files of the call it serves.
        distribution.make_folders_in(os.path.dirname(os.path.abspath(parsed.output)))
    set_run_id(parsed.run_id)
    given = open(parsed.input, "rb")
    path = Path(os.path.abspath(parsed.output))
    try:
        session = Session()
        # Closed again before the task is called, which could close or replace it.
        with given:
            session.restore(given)
        session.proceed()
        with whole_file(path) as output:
            session.save(output)
    except Exception as error:
        from . import _session_file

        with whole_file(path) as output:
            _session_file.write_failure(output, error)
    return 0


def _take_over_path() -> None:
    """Imports what is not in the archive from where the process on the other side does."""
    given = os.environ.pop(PATH_VARIABLE, None)
    if given is not None:
        sys.path[1:1] = [entry for entry in json.loads(given) if entry not in sys.path]
    sys.meta_path.append(_RestOfPackages)


class _RestOfPackages:
    """Finds modules of packages of which an archive holds a part.

    The archive comes first on the search path of a far end, so that what it holds is what was sent.
    What else is in such a package is found where the package lies otherwise.
    """

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Looks for a module that is not in the folders of its package. See `importlib.abc`."""
        package = fullname.rpartition(".")[0]
        if not package or path is None:
            return None
        inner = package.split(".")
        folders = [os.path.join(entry, *inner) for entry in sys.path if isinstance(entry, str)]
        return PathFinder.find_spec(fullname, [folder for folder in folders if folder not in path])


if __name__ == "__main__":
    sys.exit(main())
