import json
import re
import types

import pytest

import bandsaw
from bandsaw._cache import compare
from bandsaw._cache.record import Argument, Record, short_text, texts_of
from bandsaw.advices.cache import CachingAdvice
from bandsaw.errors import IdentityError, InvalidValueError

pytestmark = pytest.mark.slow

CONFIGURATION = """
    import bandsaw
    configuration = bandsaw.Configuration()
    configuration.add_advice_chain(bandsaw.advices.cache.CachingAdvice('cache'))
    configuration.add_advice_chain(name='none')
"""

WORKFLOW = """
    import sys
    import bandsaw
    import xxhash
    from package import prep

    SCALE = 2.0

    @bandsaw.task
    def train(data, alpha=0.1, *, options=None):
        return [prep.clean(value) * alpha * SCALE for value in data], xxhash.VERSION

    if __name__ == '__main__':
        exec(sys.argv[1])
"""

PREP = """
    LOWEST = 0

    def clean(value):
        return max(value, LOWEST)
"""


@pytest.fixture
def workflow(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("package/__init__.py", "")
    project.write("package/prep.py", PREP)
    project.write("workflow.py", WORKFLOW)

    def explained(call):
        body = f"print(bandsaw.explain(train, {call}))"
        return project.run("workflow.py", body).stdout

    project.explained = explained
    return project


def call(project, arguments):
    project.run("workflow.py", f"train({arguments})")


def found(text):
    return [line.strip() for line in text.splitlines()[2:]]


def test_code_with_and_without_assertions_is_not_the_same(workflow):
    workflow.write("package/prep.py", PREP.replace("return", "assert value < 9\n        return"))
    workflow.run("-O", "workflow.py", "train([9])")
    assert "AssertionError" in workflow.run("workflow.py", "train([9])", check=False).stderr
    assert found(workflow.explained("[9]")) == ["Python runs without the option -O"]
    workflow.run("workflow.py", "train([1])")
    with_it = workflow.run("-OO", "workflow.py", "print(bandsaw.explain(train, [9]))").stdout
    assert "would be served" in with_it


def test_a_call_that_was_made_would_be_served(workflow):
    call(workflow, "[1, 2]")
    text = workflow.explained("data=[1, 2], alpha=0.1")
    assert text == "workflow.train would be served from the cache: there is an intact entry.\n"


def test_a_task_that_was_never_called_has_no_entry(workflow):
    assert "has no entry of this task" in workflow.explained("[1, 2]")


@pytest.mark.parametrize(
    ("arguments", "differences"),
    [
        ("[1, 2], 0.2", ["argument `alpha`: 0.2, was 0.1"]),
        ("[1, 3]", ["argument `data[1]`: 3, was 2"]),
        ("[1, 2, 3]", ["argument `data[2]` is new: 3"]),
        ("[1]", ["argument `data[1]` is not there any more: it was 2"]),
        ("[]", [f"argument `data[{n - 1}]` is not there any more: it was {n}" for n in (1, 2)]),
        ("(1, 2)", ["argument `data` differs in its contents: 1, 2"]),
        (
            "[1, 2], options={'a': [True]}",
            [
                "argument `options` is not there any more: it was None",
                "argument `options['a'][0]` is new: True",
            ],
        ),
        ("['1', 2]", ["argument `data[0]`: '1', was 1"]),
    ],
)
def test_an_argument_that_differs_is_named_with_both_values(workflow, arguments, differences):
    call(workflow, "[1, 2]")
    assert sorted(found(workflow.explained(arguments))) == sorted(differences)


@pytest.mark.parametrize(
    ("name", "old", "new", "difference"),
    [
        (
            "package/prep.py",
            "max(value",
            "min(value",
            "helper `clean` in `package/prep.py` changed",
        ),
        ("package/prep.py", "= 0", "= 1", "`LOWEST` in `package/prep.py`: 1, was 0"),
        ("workflow.py", "SCALE = 2.0", "SCALE = 3.0", "`SCALE` in `workflow.py`: 3.0, was 2.0"),
        ("workflow.py", "* alpha", "+ alpha", "the task `train` in `workflow.py` changed"),
    ],
)
def test_code_that_differs_is_named_with_its_place(workflow, name, old, new, difference):
    call(workflow, "[1, 2]")
    text = (workflow.folder / name).read_text()
    assert old in text
    (workflow.folder / name).write_text(text.replace(old, new))
    assert found(workflow.explained("[1, 2]")) == [difference]


def test_another_version_of_a_distribution_is_named(workflow):
    call(workflow, "[1, 2]")
    fake = "import importlib.metadata as m\n" + "m.version = lambda name: '0.1'\n"
    fake += "import bandsaw._identity.firstparty as f\n"
    fake += "real = f.distribution_of\n"
    fake += "f.distribution_of = lambda n: ('xxhash', '0.1') if n == 'xxhash' else real(n)\n"
    fake += "import bandsaw._identity.objects as o\n"
    text = workflow.run(
        "workflow.py", fake + "print(bandsaw.explain(train, [1, 2]))", check=False
    ).stdout
    assert re.search(r"xxhash 0\.1, was \d+\.\d+", text), text


def test_a_nearer_entry_is_preferred(workflow):
    call(workflow, "[1, 2], 0.1")
    call(workflow, "[7, 8], 0.5")
    assert found(workflow.explained("[7, 8], 0.6")) == ["argument `alpha`: 0.6, was 0.5"]


def test_a_damaged_entry_is_said_to_be_damaged(workflow):
    call(workflow, "[1, 2]")
    (path,) = (workflow.folder / "cache").glob("*/*")
    path.write_bytes(path.read_bytes()[:-1])
    assert "its entry cannot be used: it has" in workflow.explained("[1, 2]")


def test_a_record_that_is_no_json_is_said_to_be_damaged(workflow):
    call(workflow, "[1, 2]")
    (path,) = (workflow.folder / "cache").glob("*/*")
    path.write_bytes(path.read_bytes().replace(b'"task"', b'"task?'))
    assert "its record is damaged: JSONDecodeError" in command(workflow, "verify").stdout
    assert "(its record is damaged: " in command(workflow, "ls").stdout


def test_nothing_is_written_and_nothing_executed(workflow):
    workflow.explained("[1, 2]")
    assert not (workflow.folder / "cache").exists()


def test_what_is_no_task_or_has_no_cache_is_refused_by_name(configure):
    with pytest.raises(InvalidValueError, match="decorated with @task, not <built-in.*len"):
        bandsaw.explain(len)


def test_modes_and_ages_are_told(configure, tmp_path, monkeypatch):
    import os
    import sys

    configuration = configure(CachingAdvice(tmp_path, max_age=100))
    task = bandsaw.task(config=configuration.module_name)(_function)
    assert not bandsaw.explain(task, 1).is_hit
    task(1)
    explanation = bandsaw.explain(task, 1)
    assert explanation.is_hit
    assert os.path.exists(explanation.path)
    os.utime(explanation.path, (0, 0))
    assert "max_age is 100 s" in bandsaw.explain(task, 1).reason
    monkeypatch.setenv("BANDSAW_CACHE", "off")
    assert "the cache is off" in bandsaw.explain(task, 1).reason
    monkeypatch.delenv("BANDSAW_CACHE")
    with pytest.raises(IdentityError, match="value"):
        bandsaw.explain(task, sys.stdout)
    configuration.add_advice_chain()
    with pytest.raises(InvalidValueError, match="'default'.*has no CachingAdvice"):
        bandsaw.explain(task, 1)


def _function(value):
    return value


def command(project, *arguments):
    return project.run("-m", "bandsaw", "cache", *arguments, check=False)


def test_the_command_line_lists_shows_and_removes_entries(workflow):
    assert command(workflow, "ls").stdout.splitlines()[-1].startswith("0 entries")
    call(workflow, "[1, 2]")
    call(workflow, "[1, 2], 0.2")
    lines = command(workflow, "ls").stdout.splitlines()
    assert lines[0].split() == ["TASK", "ENTRY", "AGE", "USED", "SIZE", "SAVES", "ARGUMENTS"]
    assert [line.split()[0] for line in lines[1:3]] == ["workflow.train"] * 2
    assert lines[3].startswith("2 entries, ")
    told = json.loads(command(workflow, "ls", "--json", "--task", "workflow.train").stdout)
    (entry,) = (one["entry"] for one in told if one["arguments"]["alpha"] == {"alpha": "0.2"})
    shown = command(workflow, "show", entry).stdout
    for part in (
        entry, "task: workflow.train", "state: intact", "  alpha = 0.2", "  data[1] = 2",
        "function clean package/prep.py ", "distribution xxhash ", "value SCALE workflow.py 2.0",
    ):  # fmt: skip
        assert part in shown
    assert command(workflow, "rm", entry.partition("/")[2][:12]).stdout.startswith("removed 1 ")
    for nothing in (["--task", "workflow.other"], ["fedcba"]):
        done = command(workflow, "rm", *nothing)
        assert done.returncode == 1, done
        assert "error: There is no entry" in done.stderr
    assert command(workflow, "rm", "--all").stdout.startswith("removed 1 entry")
    assert command(workflow, "rm", "--all").returncode == 1
    assert [path for path in (workflow.folder / "cache").iterdir() if path.is_dir()] == []


def test_the_command_line_explains_entries_and_calls(workflow):
    call(workflow, "[1, 2]")
    told = json.loads(command(workflow, "ls", "--json").stdout)
    only = command(workflow, "explain", told[0]["entry"])
    assert only.stdout.endswith("is the only entry of workflow.train.\n")
    call(workflow, "[1, 2], 0.2")
    for arguments in (
        [told[0]["entry"]],
        ["workflow.train", "[1, 2]", "alpha=0.2"],
        ["workflow.train", "[1, 2]", "0.3"],
    ):
        done = command(workflow, "explain", *arguments)
        assert done.returncode == 0, done.stderr
    assert "argument `alpha`: 0.3, was 0.2" in done.stdout
    other = workflow.folder / "other"
    other.mkdir()
    arguments = ["workflow.train", "[1, 2]", "alpha=0.2", "--directory"]
    assert "would be served" in command(workflow, "explain", *arguments, "cache").stdout
    told = command(workflow, "explain", *arguments, "other").stdout
    assert told.startswith("workflow.train would be computed: other has no entry of this task.\n")


@pytest.mark.parametrize("written", ["File('data.csv')", 'bandsaw.File("data.csv")'])
def test_the_command_line_takes_a_file_as_ls_writes_it(workflow, written):
    (workflow.folder / "data.csv").write_text("1,2")
    call(workflow, "[1], options=bandsaw.File('data.csv')")
    done = command(workflow, "explain", "workflow.train", "[1]", f"options={written}")
    assert "would be served from the cache" in done.stdout, done


def test_the_command_line_verifies_and_prunes(workflow):
    for alpha in (0.1, 0.2, 0.3):
        call(workflow, f"[1, 2], {alpha}")
    done = command(workflow, "verify")
    assert (done.returncode, done.stdout) == (0, "3 entries, 0 damaged\n")
    first, *_ = sorted((workflow.folder / "cache").glob("*/*"))
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    done = command(workflow, "verify", "--directory", "cache")
    assert done.returncode == 1
    assert str(first.name) in done.stdout
    assert command(workflow, "verify", "--rm").stdout.endswith("1 damaged, removed\n")
    assert not first.exists()
    assert "removed 2 entries and 0 abandoned files" in (
        command(workflow, "prune", "--max-bytes", "1B").stdout
    )


def test_a_configured_directory_may_be_missing_but_no_file(workflow):
    assert command(workflow, "ls").stdout.endswith("0 entries, 0 B, 0 s of computing\n")
    (workflow.folder / "cache").touch()
    done = command(workflow, "ls")
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no directory ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["ls", "--directory", "nowhere"], 1, "There is no directory 'nowhere'"),
        (["ls", "--config", "nowhere"], 1, "No module named 'nowhere'"),
        (["show", "nothing"], 1, "There is no entry 'nothing' in cache. `bandsaw cache ls`"),
        (["rm", "--task", "nothing"], 1, "the task nothing in cache. `bandsaw cache ls`"),
        (["rm"], 1, "Say what to remove"),
        (["rm", "--all", "--task", "workflow.train"], 1, "Say what to remove"),
        (["explain", "workflow.other"], 1, "There is no workflow.other"),
        (
            ["explain", "nowhere.other"],
            1,
            "a task 'nowhere.other': there is no module 'nowhere' in ",
        ),
        (
            ["explain", "nowhere", "1"],
            1,
            "neither an entry nor a task 'nowhere'. `bandsaw cache ls`",
        ),
        (["explain", "workflow.sys", "1"], 1, "decorated with @task"),
        (["prune", "--max-bytes", "1X"], 2, "'1X' is no size: write a number"),
        (["prune", "--max-age", "soon"], 2, "'soon' is no time span: write a number"),
        (["prune", "--max-bytes", "9" * 400], 2, "is too large"),
        (["other"], 2, "invalid choice"),
    ],
)
def test_the_command_line_says_what_is_wrong(workflow, arguments, status, message):
    done = command(workflow, *arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_needs_a_cache(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    done = command(project, "ls")
    assert done.returncode == 1
    assert "has no CachingAdvice. Name a cache with --directory." in done.stderr
    assert command(project).stdout.startswith("usage: ")


def test_an_entry_that_is_ambiguous_is_listed(workflow):
    for alpha in range(2):
        call(workflow, f"[], {alpha}")
    first, second = sorted((workflow.folder / "cache").glob("*/*"))
    folder = first.parent.name
    done = command(workflow, "show", folder)
    assert done.returncode == 1
    assert f"2 entries begin with '{folder}'" in done.stderr
    assert second.name in done.stderr
    # Ids may be assigned: one may be the beginning of another.
    shorter = first.with_name(first.name[:-1])
    shorter.write_bytes(first.read_bytes())
    done = command(workflow, "show", f"{folder}/{shorter.name}")
    assert done.stdout.startswith(f"entry: {folder}/{shorter.name}\n")


def test_a_method_is_explained_as_it_is_called(configure, tmp_path):
    configuration = configure(CachingAdvice(tmp_path))
    _Adder.add = bandsaw.task(config=configuration.module_name)(_Adder.add)
    adder = _Adder()
    adder.add(2)
    assert bandsaw.explain(adder.add, 2).is_hit
    assert bandsaw.explain(_Adder.add, adder, 2).is_hit
    assert "argument `number`: 3, was 2" in str(bandsaw.explain(adder.add, 3))


class _Adder:
    def add(self, number):
        return number + 1


def entry_with(project, record):
    from bandsaw._cache import entry

    folder = project.folder / "cache" / "0123456789abcdef"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "fedcba9876543210"
    ids = entry.ids_of(str(folder), path.name)
    path.write_bytes(b"".join(entry.packed(ids, record, [b""])))
    path.chmod(0o600)
    return path


# The commands in one process, which is what they cost.
COMMANDS = """
import contextlib, io, json
from bandsaw.__main__ import main

told = {}
for line in ("ls", "verify", "show fedcba", "explain workflow.train [1]"):
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        main(["cache", *line.split()])
    told[line] = output.getvalue()
print(json.dumps(told, ensure_ascii=False))
"""


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{}\n[]",
        b"\xff\n\xff",
        b'{"task":"t","made":1' + b"0" * 400 + b',"seconds":null,"arguments":{}}\n[]',
        b'{"task":"t","made":1,"seconds":null,"arguments":{"a":[null,[1]]}}\n[]',
        b'{"task":"t","made":1,"seconds":null,"arguments":{"a":[1,{"a":2}]}}\n[[1,2,3,4]]',
        b'{"task":"\\u001b[2J\\ud800","made":1,"seconds":null,"arguments":{}}\n[]',
        b"[" * 100_000,
    ],
)
def test_an_odd_record_is_told_and_harms_nobody(workflow, record):
    entry_with(workflow, record)
    call(workflow, "[1, 2]")
    done = workflow.run("-c", COMMANDS)
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout
    for name, told in json.loads(done.stdout).items():
        assert told, name
    assert found(workflow.explained("[1, 3]")) == ["argument `data[1]`: 3, was 2"]


def test_a_file_with_a_name_that_is_no_text_harms_nobody(workflow):
    call(workflow, "[1, 2]")
    (folder,) = (workflow.folder / "cache").iterdir()
    for name in (b"\xff\xfe", b"a\nb"):
        with open(bytes(folder) + b"/" + name, "wb") as file:
            file.write(b"BANDSAW\x02" + bytes(100))
    for arguments in (["ls"], ["verify"]):
        done = command(workflow, *arguments)
        assert "Traceback" not in done.stderr
        assert "workflow.train" in done.stdout or "2 damaged" in done.stdout


def test_other_files_in_a_cache_are_neither_listed_nor_removed(workflow):
    call(workflow, "[1, 2]")
    other = workflow.write("cache/src/main.py", "print(1)")
    assert command(workflow, "verify", "--rm").stdout == "1 entry, 0 damaged\n"
    assert command(workflow, "rm", "--all").stdout.startswith("removed 1 entry")
    assert other.exists()


class Hostile:
    @property
    def shape(self):
        raise RuntimeError("asked")

    dtype = shape


@pytest.mark.parametrize(
    "value", [Hostile(), [[[[0] * 24] * 24] * 24] * 24, {"a" * 1000: "b" * 1000}, 10**400]
)
def test_arguments_are_told_in_few_and_short_texts(value):
    texts = texts_of("x", value)
    assert 1 <= len(texts) <= 24
    assert all(len(text) < 200 for text in texts.values())


def test_each_field_of_an_object_with_many_is_told():
    estimator = types.SimpleNamespace()
    vars(estimator).update({f"field_{number}": number for number in range(40)})
    assert texts_of("x", estimator)["x.field_39"] == "39"


@pytest.mark.parametrize("value", [("forest", 4), [0.5, None], {"C": 0.1}])
def test_a_small_container_of_plain_values_is_told_with_them(value):
    assert short_text(value) == repr(value)
    assert short_text((value, Hostile())) == "tuple of 2"


def test_a_list_that_holds_itself_is_told():
    value = [1]
    value += [value] * 3
    assert texts_of("x", value)["x[0]"] == "1"


def test_an_entry_that_the_serializer_cannot_read_is_no_hit(configure, tmp_path):
    configuration = configure(CachingAdvice(tmp_path))
    task = bandsaw.task(config=configuration.module_name)(_function)
    task(1)
    assert bandsaw.explain(task, 1).is_hit
    configuration.set_serializer(bandsaw.PickleSerializer(key=bytes(16)))
    assert "signed with another key or not at all" in bandsaw.explain(task, 1).reason
    configuration.set_serializer(bandsaw.JsonSerializer())
    assert "by another serializer" in bandsaw.explain(task, 1).reason


def test_a_configuration_that_fails_to_load_is_an_error_in_one_line(workflow):
    workflow.write("bandsaw_config.py", "import os\nos.environ['WORKFLOW_KEY_OF_NOBODY']\n")
    done = command(workflow, "ls")
    assert done.returncode == 1
    assert done.stderr.startswith("error: The configuration cannot be loaded: KeyError")
    assert done.stderr.count("\n") == 1


SHAPES = """
    import collections, dataclasses, typing

    @dataclasses.dataclass(frozen=True)
    class Params:
        depth: int
        rate: float = 0.1

    class Slotted:
        __slots__ = ("depth", "other")
        def __init__(self, depth):
            self.depth = depth

    class Plain:
        def __init__(self, depth):
            self.depth, self.nested = depth, {"rates": (0.1, Params(depth))}
        def __getattr__(self, name):
            if not name.startswith("__"):
                raise RuntimeError("code of the user's own was run")
            raise AttributeError(name)
        def __repr__(self):
            raise RuntimeError("code of the user's own was run")

    class Named(typing.NamedTuple):
        depth: int

    Pair = collections.namedtuple("Pair", "depth other")

    class Model:
        rate = 0.1
        def fit(self, x):
            return x
        @classmethod
        def load(cls):
            return cls()

    def use(x):
        return Model().fit(x)
"""
SHOWN = """
    import sys
    import bandsaw
    import shapes
    from shapes import *

    @dataclasses.dataclass
    class Own:
        depth: int

    @bandsaw.task
    def train(params, scale=1):
        return shapes.use(1)

    if __name__ == "__main__":
        exec(sys.argv[1])
"""


@pytest.fixture
def shaped(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("shapes.py", SHAPES)
    project.write("workflow.py", SHOWN)
    return project


@pytest.mark.parametrize(
    ("before", "after", "differences"),
    [
        ("Params(50)", "Params(51)", ["argument `params.depth`: 51, was 50"]),
        ("Slotted(50)", "Slotted(51)", ["argument `params.depth`: 51, was 50"]),
        ("Named(50)", "Named(51)", ["argument `params.depth`: 51, was 50"]),
        ("Pair(50, 1)", "Pair(51, 1)", ["argument `params.depth`: 51, was 50"]),
        ("[Own(50)]", "[Own(51)]", ["argument `params[0].depth`: 51, was 50"]),
        ("Named(1)", "Pair(1, 2)", [
            "argument `params.other` is new: 2",
            "argument `params`: shapes.Pair, was shapes.Named",
        ]),
        ("Plain(50)", "Plain(51)", [
            "argument `params.depth`: 51, was 50",
            "argument `params.nested['rates'][1].depth`: 51, was 50",
        ]),
        ("{'a': {1, 2}}", "{'a': {1, 3}}", ["argument `params['a']`: {1, 3}, was {1, 2}"]),
        ("collections.OrderedDict(a=1)", "collections.OrderedDict(a=2)",
         ["argument `params['a']`: 2, was 1"]),
        ("Own(50), 1", "Own(50), 2", ["argument `scale`: 2, was 1"]),
    ],
)  # fmt: skip
def test_the_fields_of_objects_are_told(shaped, before, after, differences):
    shaped.run("workflow.py", f"train({before})")
    text = shaped.run("workflow.py", f"print(bandsaw.explain(train, {after}))").stdout
    assert sorted(found(text)) == sorted(differences)


def test_a_class_of_the_script_is_the_same_where_the_script_is_imported(shaped):
    shaped.run("workflow.py", "train(Own(50), 1)")
    body = "import bandsaw, workflow as w\nprint(bandsaw.explain(w.train, w.Own(50), 2))"
    text = shaped.run("-c", body).stdout
    assert found(text) == ["argument `scale`: 2, was 1"]


@pytest.mark.parametrize("argument", ["Model", "1"])
def test_of_a_class_that_differs_the_method_is_told(shaped, argument):
    shaped.run("workflow.py", f"train({argument})")
    edited = SHAPES.replace("            return x\n", "            return x + 0\n")
    assert edited != SHAPES
    shaped.write("shapes.py", edited)
    text = shaped.run("workflow.py", f"print(bandsaw.explain(train, {argument}))").stdout
    assert "method `Model.fit` in `shapes.py` changed" in text
    assert "load" not in text
    assert ("argument `params.fit`: " in text) == (argument == "Model")


def test_fields_are_listed_and_shown(shaped):
    shaped.run("workflow.py", "train(Params(50))")
    listed = command(shaped, "ls").stdout
    assert "params=shapes.Params, scale=1" in listed or "params.depth=50" in listed
    (entry,) = json.loads(command(shaped, "ls", "--json").stdout)
    assert entry["arguments"]["params"]["params.rate"] == "0.1"
    assert "  params.depth = 50\n" in command(shaped, "show", entry["entry"]).stdout


@pytest.mark.parametrize("wrong", ["1, sacle=2", "", "1, 2, 3"])
def test_a_call_that_cannot_be_made_is_said_to_be_that(shaped, wrong):
    text = shaped.run("workflow.py", f"print(bandsaw.explain(train, {wrong}))").stdout
    assert text.startswith("workflow.train cannot be called like this: ")
    assert "computed" not in text
    arguments = wrong.replace(",", "").split()
    done = command(shaped, "explain", "workflow.train", *(arguments or ["scale=1"]))
    assert done.returncode == 1
    assert "workflow.train cannot be called like this: " in done.stdout


def test_an_entry_of_the_same_arguments_tells_more_than_a_sibling():
    def made(when, value, *digests):
        arguments = {"x": Argument(None, {"x": value})}
        parts = [["function", f"f{at}", "flow.py", digest] for at, digest in enumerate(digests)]
        return Record("flow.f", when, 1.0, arguments, parts)

    wanted = made(4.0, "3", "new", "new")
    entries = [
        ("older", made(1.0, "3", "old", "old")),
        ("old", made(2.0, "3", "old", "old")),
        ("sibling", made(3.0, "2", "new", "new")),
        ("later", made(5.0, "3", "new", "newer")),
    ]
    nearest = compare.nearest(wanted, entries)
    assert nearest.path == "old" and len(nearest.differences) == 2
    assert compare.nearest(wanted, entries[2:]).path == "sibling"


@pytest.mark.parametrize("model", ["a", ("a", 1, None, 2)])
def test_a_part_that_had_no_room_in_one_entry_is_not_told_as_new(model):
    def made(rows):
        return Record("flow.f", 1.0, 1.0, {"rows": Argument(str(rows), texts_of("rows", rows))}, [])

    rows = [{"accuracy": number, "model": model} for number in range(12)]
    *told, _ = compare.differences(made([{**row, "worst": 0} for row in rows]), made(rows))
    assert told == [f"argument `rows[{at}]['worst']` is new: 0" for at in range(5)]
