"""What is kept of the source of large modules: the same ids with it, and never believed blindly."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from bandsaw._identity import kept_texts
from bandsaw._identity.kept_outlines import read, write
from bandsaw._identity.loaded_together import Together, together_for
from bandsaw._identity.module_parts import EVERYTHING, RUN, WHOLE, Module
from bandsaw._identity.sources import Source, source_of

LONG = "# " + "long enough to be kept " * 200
TEXT = f"""{LONG}
import json
from collections import OrderedDict as Ordered
from . import other
from .more import *
LIMIT = 3
TABLE = other.made()
for left in (1, 2):
    pass

@json.decorated
def f(given, *, more=LIMIT):
    global LIMIT
    given.append(TABLE)
    from .late import thing
    return thing(Ordered(), getattr(other, more))

class Kind(Ordered):
    def method(self):
        self.count = 1
        return f(self)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def module_of(text):
    source = Source(text, "pkg/m.py")
    source.kept = read(text)
    return Module("pkg.m", False, "pkg/m.py", source)


def said_of(module):
    names = (WHOLE, RUN, EVERYTHING, *sorted(module.top.names))
    parts = [module.part(name) for name in names]
    said = [module.is_said(name) for name in sorted(module.top.names)]
    facts = [(part.digest, part.uses, part.changes) for part in parts]
    return facts, said, sorted(map(repr, module.origins)), module.top


def kept_file(home):
    (path,) = (home / "outlines").iterdir()
    return path


def test_says_the_same_without_parsing():
    module = module_of(TEXT)
    assert module.facts.is_kept
    said = said_of(module)
    again = module_of(TEXT)
    assert again.source.kept is again.facts
    assert said_of(again) == said
    assert "tree" not in again.source.__dict__


def test_finds_out_all_at_once_and_forgets_the_tree(home, monkeypatch):
    monkeypatch.setattr(kept_texts, "_SHORTEST", len(TEXT) + 1)
    small = module_of(TEXT)
    said = said_of(small)
    assert "tree" in small.source.__dict__
    assert not home.exists()
    monkeypatch.undo()
    monkeypatch.setenv("BANDSAW_HOME", str(home))
    module = module_of(TEXT)
    assert "tree" not in module.source.__dict__ and "outline" not in module.__dict__
    assert said_of(module) == said
    assert "tree" not in module.source.__dict__ and "outline" not in module.__dict__


def test_keeps_nothing_of_short_modules(home):
    module = module_of("def f(): return 1\n")
    assert module.part("f").digest
    assert not module.facts.is_kept
    assert not home.exists()


def forge(home):
    """Keeps something else than the text says, and returns the file."""
    facts = module_of(TEXT).facts
    for name in (WHOLE, RUN, EVERYTHING, *facts.top.names):
        facts.part(name)
        facts.changes_of(name)
    digest, uses = facts.part("f")
    facts.parts["f"] = bytes(32), uses
    assert write(TEXT, facts)
    assert module_of(TEXT).part("f").digest == bytes(32)
    return kept_file(home), digest


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other contents"])
def test_makes_anew_what_is_damaged(home, damage):
    path, digest = forge(home)
    data = path.read_bytes()
    damaged = {
        "cut": data[:-1],
        "flipped": data.replace(bytes(32), bytes(31) + b"1"),
        "empty": b"",
        "other contents": data[:32] + b"[]",
    }
    path.write_bytes(damaged[damage])
    assert module_of(TEXT).part("f").digest == digest
    assert read(TEXT).part("f")[0] == digest


@pytest.mark.skipif(os.name == "nt", reason="has other permissions")
@pytest.mark.parametrize("mode", [0o622, 0o660])
def test_does_not_believe_what_others_can_write(home, mode):
    path, digest = forge(home)
    path.chmod(mode)
    assert module_of(TEXT).part("f").digest == digest


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="gives files to others")
def test_does_not_believe_what_others_have_written(home):
    path, digest = forge(home)
    os.chown(path, 12345, -1)
    assert module_of(TEXT).part("f").digest == digest


@pytest.mark.skipif(os.name == "nt", reason="has other permissions")
def test_does_not_believe_a_home_that_others_can_write(home):
    _, digest = forge(home)
    home.chmod(0o777)
    kept_texts._folder_at.cache_clear()  # as in another process
    assert module_of(TEXT).part("f").digest == digest
    assert read(TEXT) is None


def test_does_not_find_what_another_version_kept(home, monkeypatch):
    _, digest = forge(home)
    monkeypatch.setattr(kept_texts, "_version", lambda: b"another one")
    assert module_of(TEXT).part("f").digest == digest


def test_does_not_take_text_for_the_bytes_of_a_file_in_another_encoding():
    text = f"# coding: latin-1\n{LONG}\nVALUE = '\u00e4'\n"
    of_file, of_text = module_of(text.encode()), module_of(text)
    assert of_file.facts.is_kept and of_text.facts.is_kept
    assert of_file.part("VALUE").digest != of_text.part("VALUE").digest


def test_does_not_believe_what_was_said_among_other_modules(home, tmp_path, monkeypatch):
    text = f"{LONG}\nimport neighbour_of_kept\nVALUE = neighbour_of_kept.made()\n"
    module = module_of(text)
    assert module.part("VALUE").digest
    (tmp_path / "neighbour_of_kept.py").write_text("def made(): return 1\n", encoding="utf-8")
    # It was of nobody, and is of the project now.
    monkeypatch.syspath_prepend(tmp_path)
    again = module_of(text)
    assert again.source.kept is not again.facts
    source = Source(text, "m")
    source.kept = None
    assert again.part("VALUE").digest == Module("pkg.m", False, None, source).part("VALUE").digest


def test_works_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "file"))
    module = module_of(TEXT)
    said = said_of(module)
    assert not list(tmp_path.glob("home*"))
    assert said == said_of(module) == said_of(module_of(TEXT))


def test_removes_what_was_kept_first(home, monkeypatch):
    for count in range(4):
        module_of(f"{TEXT}\nNUMBER = {count}\n")
        os.utime(max((home / "outlines").iterdir(), key=os.path.getmtime), (count, count))
    size = sum(path.stat().st_size for path in (home / "outlines").iterdir())
    monkeypatch.setattr(kept_texts, "_MOST_BYTES", size - 1)
    kept_texts.remove_most()
    left = [path.stat().st_mtime for path in (home / "outlines").iterdir()]
    assert left and len(left) <= 2
    assert 3 in left


def test_of_source_that_does_not_parse_there_is_none(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(f"{LONG}\ndef f(:\n", encoding="utf-8")
    assert source_of(str(path), {}) is None


WORKFLOW = """
    import json, sys
    import bandsaw

    @bandsaw.task
    def first():
        from large import one
        return one.run()

    @bandsaw.task
    def second():
        import large.two
        return large.two.Two().go()

    if __name__ == "__main__":
        print(json.dumps([task.bandsaw_task.task_id for task in (first, second)]))
"""
ONE = """
    import os, math
    from . import two
    from .three import *
    RATE = 2
    KNOWN = []

    def run(count=RATE):
        KNOWN.append(count)
        return [two.Two(), shared(count), math.sqrt(count)]
"""
TWO = """
    from large import one
    from large.three import shared, Base

    class Two(Base):
        def go(self):
            return one.RATE + shared(1)
"""
THREE = """
    import functools
    from .missing import nothing

    @functools.lru_cache
    def shared(n):
        return n * FACTOR

    FACTOR = 3

    class Base:
        level = 1
"""


def write_large(path, text):
    path.write_text(f"{LONG}\n{textwrap.dedent(text)}", encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    project = tmp_path / "project"
    (project / "large").mkdir(parents=True)
    (project / "bandsaw_config.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n", encoding="utf-8"
    )
    (project / "flow.py").write_text(textwrap.dedent(WORKFLOW), encoding="utf-8")
    (project / "large" / "__init__.py").write_text("", encoding="utf-8")
    for name, text in {"one": ONE, "two": TWO, "three": THREE}.items():
        write_large(project / "large" / f"{name}.py", text)
    return project


def start(project, home):
    command = [sys.executable, "-W", "ignore", "flow.py"]
    environment = {**os.environ, "BANDSAW_HOME": str(home)}
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    )


def ids(project, home):
    with start(project, home) as process:
        return json.loads(process.stdout.read())


def test_gives_the_same_ids_as_without_it(project, home, tmp_path):
    found = []
    edits = [
        ("one", ONE),
        ("one", ONE.replace("RATE = 2", "RATE = 5")),
        ("three", THREE.replace("n * FACTOR", "n + FACTOR")),
        ("two", TWO.replace("shared(1)", "shared(one.KNOWN)")),
        ("three", THREE),
        ("one", ONE + "\n    def sqrt(x): return x\n"),
    ]
    for number, (name, text) in enumerate(edits):
        write_large(project / "large" / f"{name}.py", text)
        fresh = tmp_path / f"fresh{number}"
        found.append(ids(project, home))
        assert found[-1] == ids(project, fresh) == ids(project, home)
    assert len({first for first, _ in found}) == len(edits)
    assert len(list((home / "outlines").iterdir())) == 7


def test_processes_may_keep_it_at_once(project, home, tmp_path):
    processes = [start(project, home) for _ in range(3)]
    found = {process.communicate()[0] for process in processes}
    assert found == {json.dumps(ids(project, tmp_path / "fresh")) + "\n"}
    assert not [path for path in (home / "outlines").iterdir() if path.name[:1] == "."]
    assert json.loads(found.pop()) == ids(project, home)


def test_begins_the_next_id_with_what_the_last_one_has_found_out(project, home, tmp_path):
    reads = """
        import flow
        from bandsaw._identity import by_source
        asked, find = [], by_source._find_inside

        def note(module, chain, *others):
            asked.append(module.name)
            return find(module, chain, *others)

        by_source._find_inside = note
        found = [task.bandsaw_task.task_id for task in (flow.second, flow.first)]
        number = len(asked)

        @flow.bandsaw.task
        def third():
            from large import one
            return one.run()

        assert third.bandsaw_task.task_id not in found
        assert 0 < len(asked) - number < 5 < number, (number, len(asked))
        print(flow.json.dumps(found[::-1]))
    """
    (project / "again.py").write_text(textwrap.dedent(reads), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "again.py"]
    environment = {**os.environ, "BANDSAW_HOME": str(home)}
    done = subprocess.run(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    assert json.loads(done.stdout) == ids(project, home) == ids(project, tmp_path / "fresh")


CHANGES_BETWEEN = {
    "an edit": "write('large/three.py', read('large/three.py').replace('R = 3', 'R = 4'))",
    "an edit of the same size and time": "times = os.stat('large/three.py'); "
    "write('large/three.py', read('large/three.py').replace('R = 3', 'R = 4')); "
    "os.utime('large/three.py', ns=(times.st_atime_ns, times.st_mtime_ns))",
    "a new module": "write('large/missing.py', 'nothing = print()')",
    "another place": "sys.path.insert(0, 'others')",
    "loaded and changed": "write('large/missing.py', 'nothing = 1'); import large.three; "
    "large.three.FACTOR = 5",
    "a mock": "from unittest import mock; mock.patch('math.sqrt', lambda x: 2).start()",
}


@pytest.mark.parametrize("change", CHANGES_BETWEEN)
def test_does_not_believe_what_has_changed_since(project, home, change):
    """Of what the ids of tasks before have found out."""
    (project / "others" / "large").mkdir(parents=True)
    for name in ("__init__", "one", "two"):
        text = (project / "large" / f"{name}.py").read_text(encoding="utf-8")
        (project / "others" / "large" / f"{name}.py").write_text(text, encoding="utf-8")
    write_large(project / "others" / "large" / "three.py", THREE.replace("= 3", "= 33"))
    steps = f"""
        import json, os, sys
        from pathlib import Path
        import flow

        def read(name): return Path(name).read_text(encoding="utf-8")
        def write(name, text): Path(name).write_text(text, encoding="utf-8")

        if sys.argv[1:] == ["before"]:
            sys.argv.pop()
            flow.second.bandsaw_task.task_id
            before = flow.bandsaw.fingerprint.fingerprint(flow.first.__wrapped__)
            del flow.first.__wrapped__.__dict__["__bandsaw_snapshot__"]
        else:
            before = None
        {CHANGES_BETWEEN[change]}
        after = flow.bandsaw.fingerprint.fingerprint(flow.first.__wrapped__)
        assert after != before
        print(json.dumps(after))
    """
    says_the_same_in_a_new_process(project, home, steps)


def says_the_same_in_a_new_process(project, home, steps):
    """Runs steps in a program that has made ids before, and in one that has not."""
    (project / "steps.py").write_text(textwrap.dedent(steps), encoding="utf-8")
    environment = {**os.environ, "BANDSAW_HOME": str(home)}
    found = []
    for arguments in (["before"], []):
        command = [sys.executable, "-W", "ignore", "steps.py", *arguments]
        done = subprocess.run(
            command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found.append(done.stdout)
        (project / "large" / "missing.py").unlink(missing_ok=True)
    assert found[0] == found[1]


CHANGES_OF_MODULES = {
    "loaded since": (
        "seen.loading = lambda: flow.second.bandsaw_task.task_id; import large.three",
        "import large.three; seen.loading = large.three.shared = max",
    ),
    "another folder": (
        "import large; flow.second.bandsaw_task.task_id",
        "import large; large.__path__.insert(0, 'others/large')",
    ),
}


@pytest.mark.parametrize("name", CHANGES_OF_MODULES)
def test_does_not_believe_what_was_found_out_of_a_module_before(project, home, name):
    text = THREE.replace("from .missing import nothing", "import seen; seen.loading()")
    write_large(project / "large" / "three.py", text)
    (project / "others" / "large").mkdir(parents=True)
    write_large(project / "others" / "large" / "three.py", text.replace("= 3", "= 33"))
    (project / "seen.py").write_text("def loading(*_): pass\n", encoding="utf-8")
    before, change = CHANGES_OF_MODULES[name]
    steps = f"""
        import sys
        import flow, seen
        if sys.argv[1:] == ["before"]:
            sys.argv.pop()
            {before}
        {change}
        print(flow.first.bandsaw_task.task_id)
    """
    says_the_same_in_a_new_process(project, home, steps)


def test_no_two_ids_that_are_made_at_once_share_what_is_known():
    known = Together()
    known.module(__name__)
    known.keep()
    assert together_for(()) is known
    assert together_for(()) is not known


CHANGES_OF_PLACES = {
    "a new module": "write('missing.py', 'def found(): return 1')",
    "a new module of a package": "write('large/missing.py', 'nothing = print()')",
    "a module in front": "write('others/helper.py', 'def deco(f): return print')",
    "a folder in front": "sys.path.insert(0, 'front')",
    "a folder that becomes a package": "write('spaces/__init__.py', 'print()')",
}


@pytest.mark.parametrize("change", CHANGES_OF_PLACES)
def test_an_id_holds_no_more_once_other_modules_are_found(project, home, change):
    for folder in ("others", "front", "spaces"):
        (project / folder).mkdir()
    for name in ("helper", "front/helper", "spaces/inner"):
        text = f"def deco(f): return f, {name!r}\n"
        (project / f"{name}.py").write_text(text, encoding="utf-8")
    steps = f"""
        import os, sys
        from pathlib import Path
        import bandsaw
        sys.path.insert(0, "others")

        def write(name, text): Path(name).write_text(text, encoding="utf-8")

        @bandsaw.task
        def task():
            import helper, missing
            from large import three
            from spaces import inner
            return helper.deco(missing.found), three.shared, inner.deco

        task_id = (lambda: task.bandsaw_task.task_id)
        before = sys.argv[1:] and sys.argv.pop() and task_id()
        write("result.csv", "1,2")
        assert not before or task.bandsaw_task._derived[1].is_current()
        {CHANGES_OF_PLACES[change]}
        assert task_id() != before
        print(task_id())
    """
    (project / "steps.py").write_text(textwrap.dedent(steps), encoding="utf-8")
    environment = {**os.environ, "BANDSAW_HOME": str(home)}
    found = []
    for arguments in (["before"], []):
        command = [sys.executable, "-W", "ignore", "steps.py", *arguments]
        done = subprocess.run(
            command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found.append(done.stdout)
        for name in ("missing.py", "large/missing.py", "others/helper.py", "spaces/__init__.py"):
            (project / name).unlink(missing_ok=True)
    assert found[0] == found[1]


@pytest.mark.parametrize("count", [10, 60])
def test_keeps_short_modules_that_tasks_import_where_they_are_many(home, tmp_path, count):
    configuration = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    (tmp_path / "bandsaw_config.py").write_text(configuration, encoding="utf-8")
    for number in range(count):
        text = f"{LONG[:1000]}\ndef f(): return {number}\n"
        (tmp_path / f"small{number}.py").write_text(text, encoding="utf-8")
    uses = "".join(f"    import small{number}\n    small{number}.f()\n" for number in range(count))
    script = f"{LONG[:1000]}\nimport bandsaw\n@bandsaw.task\ndef task():\n{uses}"
    script += "print(task.bandsaw_task.task_id)\n"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    run = [sys.executable, "script.py"]
    ids = [subprocess.check_output(run, cwd=tmp_path, text=True) for _ in range(2)]
    assert ids[0] == ids[1]
    kept = len(list((home / "outlines").iterdir()))
    assert (0 < kept < count) if count > 50 else not kept
