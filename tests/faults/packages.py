"""Takes popular packages from the index as code of a project, and calls and names what is in them.

    python -m tests.faults.packages [NAME ...]

Each is laid beside a script, so that it counts as first-party. Some of its functions are called in
each kind of process, and compared with the plain call. All its public functions are asked for the
ids that tasks of them would have, in two processes with different hash seeds: the ids have to be
the same, without an error, and with at most ten lines of warning. Where they differ, the first miss
has to name the variables that hold another value in each process: those are counted, and no faults.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.interpreters import interpreters

from .ssh_server import ROOT, Server

# What is called of those that have data, or import by computed names: `CALL` is what `call` of a
# module returns that has these imports. jedi starts a script of its own.
CALLS = {
    "certifi": ("import certifi", "len(certifi.contents()) > 1000"),
    "babel": ("import babel", "babel.Locale.parse('de').get_display_name('en')"),
    "parso": ("import parso", "parso.parse('x = 1').get_code()"),
    "faker": ("import faker", "len(faker.Faker('de_DE').name()) > 3"),
    "jedi": (
        "import jedi, sys",
        "[name.name for name in jedi.Script('import json; json.lo', environment="
        "jedi.create_environment(sys.executable, safe=False)).complete(1, 20)]",
    ),
    "docutils": (
        "import docutils.core",
        "'<em>' in docutils.core.publish_string('*x* y', writer_name='html').decode()",
    ),
    "pygments": (
        "import pygments, pygments.lexers as lexers, pygments.formatters as formatters",
        "pygments.highlight('x', lexers.get_lexer_by_name('python'), "
        "formatters.get_formatter_by_name('html'))",
    ),
    "phonenumbers": (
        "import phonenumbers",
        "phonenumbers.parse('+442083661177', None).country_code",
    ),
    "mistune": ("import mistune", "mistune.html('*x*')"),
    "tabulate": ("import tabulate", "tabulate.tabulate([[1, 2]])"),
    "humanize": ("import humanize", "humanize.naturalsize(10**9)"),
    "jinja2": ("import jinja2", "jinja2.Template('{{ x }}').render(x=3)"),
    "webcolors": ("import webcolors", "webcolors.name_to_hex('red')"),
    "toolz": ("import toolz", "list(toolz.partition(2, range(6)))"),
    "boltons": ("from boltons import strutils", "strutils.slugify('A b')"),
    "dateutil": ("import dateutil.tz", "str(dateutil.tz.gettz('Europe/Berlin'))[:6]"),
    "sqlparse": ("import sqlparse", "sqlparse.format('select 1', reindent=True)"),
}
NAMED = (
    *CALLS,
    *("six", "click", "rich", "pyparsing", "attr"),
    *("markdown", "yaml", "requests", "idna", "packaging", "tomlkit", "more_itertools"),
    *("sortedcontainers", "tqdm", "colorama", "wcwidth", "chardet", "networkx", "lark", "bs4"),
    *("markupsafe", "pytz", "tinydb"),
)  # fmt: skip
# Where the name on the index is another one.
ON_INDEX = {
    **{"attr": "attrs", "dateutil": "python-dateutil", "yaml": "pyyaml", "faker": "Faker"},
    **{"more_itertools": "more-itertools", "bs4": "beautifulsoup4"},
}
CHAINS = ("own", "kept", "spawned", "other interpreter", "environment", "ssh", "steps")
CONFIGURATION = """
import shutil, subprocess
import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend
from bandsaw.advices.subprocess import SubprocessAdvice


class Steps(SshBackend):
    def create_dir(self, remote, remote_path):
        remote_path.mkdir(parents=True)

    def copy_file_to_remote(self, remote, local_path, remote_path):
        shutil.copyfile(local_path, remote_path)

    def copy_file_from_remote(self, remote, remote_path, local_path):
        shutil.copyfile(remote_path, local_path)

    def execute_remote(self, remote, executable, *arguments):
        subprocess.run([executable, *arguments], check=True, cwd="/")

    def delete_dir(self, remote, remote_path):
        shutil.rmtree(remote_path)


python = bandsaw.Interpreter(executable={python!r})
far = dict(interpreter=python, directory={far!r})
configuration = bandsaw.Configuration()
for name, advice in {{
    "own": SubprocessAdvice(),
    "kept": SubprocessAdvice(workers=1),
    "spawned": SubprocessAdvice(fork=False),
    "other interpreter": SubprocessAdvice(interpreter=bandsaw.Interpreter(executable={other!r})),
    "environment": SubprocessAdvice(interpreter=bandsaw.Environment()),
    "ssh": SshAdvice().add_remote(Remote(**far, **{arguments!r})),
    "steps": SshAdvice(backend=Steps()).add_remote(Remote("here", **far)),
}}.items():
    configuration.add_advice_chain(advice, name=name)
"""
WORKFLOW = """
import importlib, json, sys
import bandsaw

if __name__ == "__main__":
    names, chains = map(json.loads, sys.argv[1:])
    found = {}
    for name in names:
        call = importlib.import_module("calls." + name).call
        here = call()
        for chain in chains:
            try:
                there = bandsaw.task(chain=chain)(call)()
                if there != here:
                    found[f"{name}, {chain}"] = [repr(there)[:200], repr(here)[:200]]
            except Exception as error:
                found[f"{name}, {chain}"] = repr(error)[:700]
    print(json.dumps(found))
"""
IDS = """
import importlib, inspect, json, os, sys, types, warnings
import bandsaw
from bandsaw._cache import compare, record
from bandsaw.tasks import Task

MOST_FUNCTIONS = 100
found = {}

def names_of(task, name, an_id):
    # Those that differ from another process, as the first miss tells them.
    path = name + ".parts"
    if not os.path.exists(path):
        with open(path, "w") as file:
            json.dump([an_id, record.parts_of(task)], file)
        return []
    with open(path) as file:
        other, parts = json.load(file)
    if other == an_id:
        return []
    carried = task._carried()
    keys = carried.values.keys() - carried.filled
    return compare._variables_between(record.parts_of(task), parts, keys)

for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        print(name, repr(error), file=sys.stderr)
        continue
    functions = sorted(vars(module).items())
    # Of a package whose functions reach all of it, one takes a second.
    for attribute, value in functions[:: max(1, len(functions) // MOST_FUNCTIONS)]:
        if type(value) is not types.FunctionType or attribute.startswith("_"):
            continue
        if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
            continue  # no task can be made of it
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                task = Task.create_task(value)
                an_id = task.task_id
                told = names_of(task, f"{name}.{attribute}", an_id)
            except Exception as error:
                an_id, told = f"ERROR {error!r}"[:300], []
        lines = max([len(str(w.message).splitlines()) for w in caught], default=0)
        found[f"{name}.{attribute}"] = [an_id, lines, told]
print(json.dumps(found))
"""


def main(names):
    """Looks at packages; returns 1 if something is wrong with one of them."""
    names = names or list(NAMED)
    faults = 0
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        project = Path(folder, "project")
        wanted = [ON_INDEX.get(name, name) for name in names]
        install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(project)]
        subprocess.run([*install, *wanted], check=True)
        this, pythons = tuple(sys.version_info[:2]), interpreters()
        others = [path for version, path in pythons.items() if version > (3, 9) and version != this]
        configuration = CONFIGURATION.format(
            python=sys.executable,
            other=str(others[-1]),
            far=str(Path(folder, "far")),
            arguments=server.arguments(),
        )
        Path(folder, "far").mkdir(mode=0o700)
        (project / "bandsaw_config.py").write_text(configuration)
        (project / "workflow.py").write_text(WORKFLOW)
        (project / "ids.py").write_text(IDS)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "BANDSAW_HOME": str(Path(folder, "home"))
        }  # fmt: skip

        def run(*command, **variables):
            done = subprocess.run(
                [sys.executable, *command], cwd=project, env={**environment, **variables},
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            return json.loads(done.stdout.splitlines()[-1])

        called = [name for name in names if name in CALLS]
        for name in called:
            # Each in a module of its own: what goes along is what this one needs.
            imports, call = CALLS[name]
            module = project / "calls" / f"{name}.py"
            module.parent.mkdir(exist_ok=True)
            module.write_text(f"{imports}\n\ndef call():\n    return {call}\n")
        problems = run("-W", "ignore", "workflow.py", json.dumps(called), json.dumps(CHAINS))
        for what, problem in problems.items():
            faults += 1
            print(f"{what}: {problem}")
        one, other = (run("ids.py", *names, PYTHONHASHSEED=seed) for seed in "12")
        differ = 0
        for name in sorted({*one, *other}):
            an_id, lines, _ = one.get(name, ("", 0, []))
            another, _, told = other.get(name, ("", 0, []))
            if an_id != another and told:
                differ += 1
                print(f"{name}: another id in each process, which is told: {', '.join(told[:5])}")
            kinds = {
                "an error": an_id.startswith("ERROR"),
                "another id in each process, which is not told": an_id != another and not told,
                f"a warning of {lines} lines": lines > 10,
            }
            for kind in filter(kinds.get, kinds):
                faults += 1
                print(f"{name}: {kind}: {an_id} {another}")
    where = f"{len(called)} packages called in {len(CHAINS)} kinds of processes"
    named = f"{len(one)} functions named, {differ} with another id that is told"
    print(f"{where}, {named}, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
