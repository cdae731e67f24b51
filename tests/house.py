"""Counts what the house has: `python -m tests.house [--names]`.

Lines and modules, the floors of its imports, and the modules that a call to another process enters
on this side, from `SubprocessAdvice.before` until its result is there.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import grimp

import bandsaw

PACKAGE = Path(bandsaw.__file__).parent
_CONFIGURATION = """\
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = bandsaw.Configuration()
configuration.add_advice_chain(SubprocessAdvice(workers=1), name="kept")
configuration.add_advice_chain(SubprocessAdvice(), name="own")
"""
_CALLS = """\
import json, os, sys, threading
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

root = os.path.dirname(bandsaw.__file__) + os.sep


@bandsaw.task(chain=sys.argv[1])
def task(number):
    return number


def entered_by(call):
    entered = {}
    begin = SubprocessAdvice.before.__code__
    is_inside = False

    def see(frame, event, _):
        nonlocal is_inside
        code = frame.f_code
        if code is begin:
            is_inside = event == "call"
        if is_inside and event == "call" and code.co_filename.startswith(root):
            entered.setdefault(code.co_filename[len(root) :], None)

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(entered)


if __name__ == "__main__":
    for number in range(3):
        task(number)
    print(json.dumps(entered_by(lambda: task(4))))
"""


def longest_chain():
    """The longest chain of modules that import each other, without types and the façade."""
    graph = grimp.build_graph("bandsaw", exclude_type_checking_imports=True)
    # What `errors` loads when it is first asked for it.
    graph.remove_import(importer="bandsaw.errors", imported="bandsaw._process_errors")

    @functools.cache
    def chain(module):
        below = graph.find_modules_directly_imported_by(module) - {"bandsaw", module}
        return [module, *max(map(chain, sorted(below)), key=len, default=[])]

    return max(map(chain, sorted(graph.modules - {"bandsaw"})), key=len)


def entered(kind):
    """The modules that a call of a kind enters, in their order: `kept` or `own`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bandsaw_config.py").write_text(_CONFIGURATION, encoding="utf-8")
        Path(folder, "calls.py").write_text(_CALLS, encoding="utf-8")
        command = [sys.executable, "calls.py", kind]
        done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main():
    """Prints the numbers, and on request the names."""
    parser = argparse.ArgumentParser(prog="python -m tests.house", description=__doc__)
    parser.add_argument("--names", action="store_true", help="print the names of modules, too")
    options = parser.parse_args()
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    sizes = [text.count("\n") for text in texts]
    print(
        f"{sum(sizes)} lines, {len(sizes)} modules, {sum(n > 350 for n in sizes)} above 350 lines"
    )
    counted = {"floors": longest_chain(), "kept": entered("kept"), "own": entered("own")}
    for name, modules in counted.items():
        print(f"{len(modules)} {name if name == 'floors' else f'modules on the near side: {name}'}")
        if options.names:
            print("".join(f"    {module}\n" for module in modules), end="")


if __name__ == "__main__":
    main()
