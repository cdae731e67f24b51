"""The far end: what a distribution archive does when it is executed.

    --input FILE ─► restore ─► proceed ─► save ─► --output FILE

The output appears whole or not at all. It holds the session, or in its place the error that kept
the session from going on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from . import distribution, modules
from ._files import bundle
from ._session import packing, telling
from ._system import lifeline
from ._system.files import whole_file
from ._workers import notices, process_main
from .run import set_run_id, take_run_id
from .session import Session

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
    is_far_end = process_main.become_far_end()
    if is_far_end:
        if not hasattr(sys.modules["__main__"], "SIGNED_BY"):
            # It is this module, and the archive is on the search path.
            from ._archive.zip_archive import running_archive

            running = running_archive()
            modules.signed_by = running and running.content.manifest["signed_by"]
        lifeline.follow()
        # What this process makes for calls of its own goes with the files of the call it serves.
        distribution.make_folders_in(os.path.dirname(os.path.abspath(parsed.output)))
    set_run_id(parsed.run_id)
    if is_far_end:
        take_run_id(parsed.run_id)
    try:
        given = open(parsed.input, "rb")
    except OSError as error:
        parser.error(f"the session cannot be read: {error}")
    path = Path(os.path.abspath(parsed.output))
    try:
        session, kept = Session(), notices.KeptWarnings()
        # Closed again before the task is called, which could close or replace it.
        bundle.receive(os.path.abspath(parsed.input), f"{path}-given")
        with given:
            packing.take_warnings = kept.install
            session.restore(given)
        telling.proceed(session)
        kept.leave(session)
        with whole_file(path) as output, bundle.Back(session, str(path)):
            session.save(output)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        from ._session import members

        with whole_file(path) as output:
            members.write_failure(output, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
