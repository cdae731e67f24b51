"""Starts a process for tasks on this machine, which takes its code from where it lies.

    PYTHON process_script.py --fork-server SETTINGS BYTE_CODE
    PYTHON process_script.py --worker FD BYTE_CODE

It is run as a script, by any Python. bandsaw itself is imported from the folder of this very file,
and no folder of the process that started this one is on the search path for it.
"""

import sys

IS_FAR_END = True
IS_LOCAL = True


# Without annotations, which older Pythons than those that bandsaw runs on do not know.
def _import_bandsaw(byte_code):  # type: ignore[no-untyped-def]
    import os
    from importlib.machinery import SourceFileLoader

    here = os.path.dirname(os.path.abspath(__file__))
    package = os.path.dirname(here)
    # Python puts the folder of a script first, unless it is told not to.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    name = "bandsaw._archive.finder"
    finder = sys.modules[name] = type(sys)(name)
    finder.__file__ = os.path.join(package, "_archive", "finder.py")
    loader = SourceFileLoader(name, finder.__file__)
    loader.exec_module(finder)
    finder.install(package, byte_code)


if __name__ == "__main__":
    # Any Python may have been given.
    if sys.version_info < (3, 9):  # noqa: UP036
        sys.exit("bandsaw needs Python 3.9 or newer, and this is " + sys.version)
    _import_bandsaw(sys.argv[3])  # type: ignore[no-untyped-call]
    from bandsaw._workers.process_main import main

    sys.exit(main(sys.argv[1:3]))
