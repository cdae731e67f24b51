"""Takes popular packages from the index as code of a project, and calls and names what is in them.

    python -m tests.faults.packages [NAME ...]

Each is laid beside a script, so that it counts as first-party. Some of its functions are called in
each kind of process, and compared with the plain call. All its public functions are asked for the
ids that tasks of them would have, in two processes with different hash seeds: the ids have to be
the same, without an error, and with at most ten lines of warning.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# What is called of those that have data, or import by computed names.
CALLS = {
    "certifi": "len(__import__('certifi').contents()) > 1000",
    "babel": "str(__import__('babel').Locale.parse('de').get_display_name('en'))",
    "parso": "__import__('parso').parse('x = 1').get_code()",
    "faker": "len(__import__('faker').Faker('de_DE').name()) > 3",
    "docutils": "'<p>' in __import__('docutils.core').core.publish_string("
    "'*x* y', writer_name='html').decode()",
    "pygments": "__import__('pygments').highlight('x', __import__('pygments.lexers').lexers."
    "get_lexer_by_name('python'), __import__('pygments.formatters').formatters."
    "get_formatter_by_name('html'))",
    "phonenumbers": "__import__('phonenumbers').parse('+442083661177', None).country_code",
    "mistune": "__import__('mistune').html('*x*')",
    "tabulate": "__import__('tabulate').tabulate([[1, 2]])",
    "humanize": "__import__('humanize').naturalsize(10**9)",
    "jinja2": "__import__('jinja2').Template('{{ x }}').render(x=3)",
    "webcolors": "__import__('webcolors').name_to_hex('red')",
}
NAMED = (
    *CALLS,
    *("six", "click", "rich", "pyparsing", "attr", "toolz", "boltons", "dateutil", "sqlparse"),
    *("markdown", "yaml", "requests", "idna", "packaging", "tomlkit", "more_itertools"),
    *("sortedcontainers", "tqdm", "colorama", "wcwidth", "chardet", "networkx", "lark", "bs4"),
    *("markupsafe", "pytz", "tinydb"),
)  # fmt: skip
# Where the name on the index is another one.
ON_INDEX = {
    **{"attr": "attrs", "dateutil": "python-dateutil", "yaml": "pyyaml", "faker": "Faker"},
    **{"more_itertools": "more-itertools", "bs4": "beautifulsoup4"},
}
CONFIGURATION = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
)
"""
WORKFLOW = """
import json, sys
import bandsaw

def call(text):
    return eval(text)

for chain in ("own", "kept", "spawned"):
    def made(text):
        return eval(text)
    made.__name__ = made.__qualname__ = chain
    globals()[chain] = bandsaw.task(chain=chain)(made)

if __name__ == "__main__":
    found = {}
    for name, text in json.loads(sys.argv[1]).items():
        for chain in ("own", "kept", "spawned"):
            try:
                there = globals()[chain](text)
                here = call(text)
                if there != here:
                    found[f"{name}, {chain}"] = [repr(there)[:200], repr(here)[:200]]
            except Exception as error:
                found[f"{name}, {chain}"] = repr(error)[:500]
    print(json.dumps(found))
"""
IDS = """
import importlib, json, sys, types, warnings
import bandsaw
from bandsaw.tasks import Task

found = {}
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        print(name, repr(error), file=sys.stderr)
        continue
    for attribute, value in sorted(vars(module).items()):
        if type(value) is not types.FunctionType or attribute.startswith("_"):
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                an_id = Task.create_task(value).task_id
            except Exception as error:
                an_id = f"ERROR {error!r}"[:300]
        lines = max([len(str(w.message).splitlines()) for w in caught], default=0)
        found[f"{name}.{attribute}"] = [an_id, lines]
print(json.dumps(found))
"""


def main(names):
    """Looks at packages; returns 1 if something is wrong with one of them."""
    names = names or list(NAMED)
    root = str(Path(__file__).resolve().parents[2])
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        wanted = [ON_INDEX.get(name, name) for name in names]
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", folder]
        subprocess.run([*install, *wanted], check=True)
        project = Path(folder)
        (project / "bandsaw_config.py").write_text(CONFIGURATION)
        (project / "workflow.py").write_text(WORKFLOW)
        (project / "ids.py").write_text(IDS)
        environment = {**os.environ, "PYTHONPATH": root}

        def run(*command, **variables):
            done = subprocess.run(
                [sys.executable, *command], cwd=folder, env={**environment, **variables},
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            return json.loads(done.stdout.splitlines()[-1])

        calls = {name: CALLS[name] for name in names if name in CALLS}
        for what, problem in run("-W", "ignore", "workflow.py", json.dumps(calls)).items():
            faults += 1
            print(f"{what}: {problem}")
        one, other = (run("ids.py", *names, PYTHONHASHSEED=seed) for seed in "12")
        for name in sorted({*one, *other}):
            (an_id, lines), (another, _) = one.get(name, ("", 0)), other.get(name, ("", 0))
            if an_id != another or an_id.startswith("ERROR") or lines > 10:
                faults += 1
                print(f"{name}: {an_id} {another}, {lines} lines")
    print(f"{len(calls)} packages called, {len(one)} functions named, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
