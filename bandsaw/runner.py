"""The far end: what a distribution archive does when it is executed.

    --input FILE ─► restore ─► proceed ─► save ─► --output FILE

The output appears whole or not at all. It holds the session, or in its place the error that kept
the session from going on.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from . import modules
from ._files import write_whole
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
    modules.is_far_end = getattr(sys.modules["__main__"], "IS_FAR_END", False)
    lifeline.follow()
    _take_over_path()
    set_run_id(parsed.run_id)
    output = io.BytesIO()
    with open(parsed.input, "rb") as stream:
        try:
            session = Session()
            session.restore(stream)
            session.proceed()
            session.save(output)
        except Exception as error:
            from . import _session_file

            output = io.BytesIO()
            _session_file.write_failure(output, error)
    write_whole(Path(os.path.abspath(parsed.output)), output.getbuffer())
    return 0


def _take_over_path() -> None:
    """Imports from where the process on the other side does, and only then from the archive.

    So whatever lies beside what was sent is found, and is the same. Without that search path, which
    only an interpreter in the same environment is given, the archive comes first.
    """
    given = os.environ.pop(PATH_VARIABLE, None)
    if given is not None:
        path = json.loads(given)
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]


if __name__ == "__main__":
    sys.exit(main())
