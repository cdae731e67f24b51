"""Files and folders that travel with calls, and come back."""

import contextlib
import contextvars
import hashlib
import json
import os
import pickle
import shutil
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import bandsaw
from bandsaw import File
from bandsaw._files import bundle, carrying, destinations, kept
from bandsaw._files.crossing import Sent
from bandsaw._system import ending, file_contents, trees
from bandsaw._system.file_contents import ArrivingContents
from bandsaw._system.trees import FILE, FOLDER, LINK, TreePart
from bandsaw._workers.ssh import ssh_sending
from bandsaw.errors import FileTravelError, InvalidValueError, MissingFileError

CONFIGURATION = """\
from concurrent.futures import ThreadPoolExecutor

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

from bandsaw.advices._moving import go_on_after
from bandsaw._workers import by_files


class ByFiles(bandsaw.Advice):
    # What SubprocessAdvice does on Windows.
    def before(self, session):
        arguments = session, bandsaw.Interpreter(), None, None, None
        go_on_after(session, lambda: by_files.run(*arguments))

    def after(self, session):
        pass


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice())
    .add_advice_chain(ByFiles(), name="by files")
    .add_advice_chain(ExecutorAdvice(lambda: ThreadPoolExecutor(2)), name="executor")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
    .add_advice_chain(SubprocessAdvice(), SubprocessAdvice(), name="twice")
    .add_advice_chain(CachingAdvice("cache"), SubprocessAdvice(), name="cached")
    .add_advice_chain(CachingAdvice("cache"), name="here")
    .add_advice_chain(SubprocessAdvice(), CachingAdvice("cache"), name="cached there")
)
configuration.set_serializer(bandsaw.{serializer}())
"""
WORKFLOW = """\
import json, os, shutil, sys, tempfile
from pathlib import Path
import bandsaw
from bandsaw import File

{tasks}

if __name__ == "__main__":
{body}
"""
MAKE = """\
@bandsaw.task(chain={chain!r})
def make(given):
    [file] = given["deep"]
    folder = Path(tempfile.mkdtemp())
    made = folder / "made.sh"
    made.write_text(Path(file).read_text().upper())
    made.chmod(0o755)
    tree = folder / "tree"
    (tree / "inner" / "empty").mkdir(parents=True)
    (tree / "inner" / "data").write_bytes(bytes(300_000))
    (tree / "link").symlink_to("inner/data")
    return {{
        "pid": os.getpid(), "seen": file.path, "given": file,
        "files": [File(made), File(made, to="models/{{name}}")], "tree": (File(tree),),
        "again": [File(made), File(made, to="models/{{name}}")],
    }}

# main
for _ in range(2):
    found = make({{"deep": (File("in.txt"),)}})
    assert found["pid"] != os.getpid()
    assert found["seen"] == (os.path.abspath("in.txt") if "{chain}" == "executor" else "in.txt")
    assert found["given"] == File("in.txt")
    for file in found["files"] + found["again"]:
        assert Path(file).read_text() == "CONTENTS" and os.access(file, os.X_OK), file
    own, placed = found["files"]
    assert os.path.join("files", "runs", bandsaw.get_run_id()) in own.path
    assert Path(own).name == "made.sh" and Path(placed) == Path.cwd() / "models" / "made.sh"
    [tree] = found["tree"]
    assert sorted(p.relative_to(tree.path).as_posix() for p in Path(tree).rglob("*")) == [
        "inner", "inner/data", "inner/empty", "link",
    ]
    assert os.readlink(Path(tree) / "link") == "inner/data"
    assert Path(tree, "link").read_bytes() == bytes(300_000)
"""


@pytest.fixture
def run(project):
    def run(code, serializer="PickleSerializer", fails=False, **variables):
        project.write("bandsaw_config.py", CONFIGURATION.format(serializer=serializer))
        (project.folder / "in.txt").write_text("contents")
        tasks, _, body = code.partition("\n# main\n")
        text = WORKFLOW.format(tasks=tasks, body=textwrap.indent(body, "    "))
        (project.folder / "workflow.py").write_text(text)
        done = project.run("workflow.py", check=False, **variables)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.mark.parametrize(
    ("chain", "serializer"),
    [
        *((chain, "PickleSerializer") for chain in ("default", "kept", "spawned", "twice")),
        ("by files", "PickleSerializer"),
        ("executor", "PickleSerializer"),
        ("executor", "JsonSerializer"),
        ("kept", "JsonSerializer"),
    ],
)
def test_files_cross_to_another_process_and_back(run, chain, serializer):
    run(MAKE.format(chain=chain), serializer)


@pytest.mark.parametrize("chain", ["cached", "here", "kept", "executor"])
def test_a_file_that_is_missing_is_the_same_for_all_chains(run, chain):
    run(f"""\
@bandsaw.task(chain={chain!r})
def task(file):
    return Path(file).read_text()

# main
try:
    task(File("missing.txt"))
except FileNotFoundError as error:
    assert "missing.txt" in str(error)
else:
    raise AssertionError
""")


@pytest.mark.parametrize("chain", ["here", "default", "kept", "executor"])
def test_a_task_that_goes_to_another_folder_may_return_the_file_that_it_got(run, chain):
    run(f"""\
class Text(File):
    __slots__ = ("encoding",)

@bandsaw.task(chain={chain!r})
def task(*files):
    Path("away").mkdir(exist_ok=True)
    os.chdir("away")
    return files

# main
text = Text("in.txt")
object.__setattr__(text, "encoding", "ascii")
for file in (File("in.txt"), text):
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    returned, = task(file)
    assert returned == file
assert returned.encoding == "ascii"
""")


def test_the_text_of_a_file_is_its_path():
    file = File("a/b.csv", to="c.csv")
    assert str(file) == f"{file}" == os.fspath(file) == "a/b.csv"


def test_what_cannot_be_a_path_is_a_typed_error():
    for path in (3, b"x", None, ""):
        with pytest.raises(InvalidValueError, match="cannot be a path"):
            File(path)
    with pytest.raises(InvalidValueError, match="to=3"):
        File("x", to=3)
    with pytest.raises(
        MissingFileError, match=r"The contents of File\('x'\).*not exist in the"
    ) as caught:
        File("x").digest()
    assert str(caught.value).endswith(f" in the working directory, {os.getcwd()}")


def test_a_task_in_another_process_reads_the_very_file(run):
    run("""\
@bandsaw.task
def task(file):
    return os.stat(file).st_ino

# main
assert task(File("in.txt")) == os.stat("in.txt").st_ino
""")


@pytest.mark.parametrize("chain", ["default", "kept"])
def test_a_result_that_cannot_arrive_is_a_typed_error_and_leaves_nothing(run, chain):
    cases = {
        "File('missing')": "has to be there until its task has returned",
        "File('tree')": "leads out of it",
        "File('made', to='out/made')": "has a link",
        "File('made', to='taken')": "is a folder",
        "File('folder', to='one')": "is no folder",
        "[File('made', to='one'), File('more', to='one')]": "a 'to' of its own",
        "[File('made', to='same/{name}'), File('more', to='same')]": "a 'to' of its own",
    }
    run(f"""\
from bandsaw.errors import FileTravelError

@bandsaw.task(chain={chain!r})
def task(made):
    return made and eval(made)

# main
Path("tree").mkdir()
Path("tree", "link").symlink_to("../in.txt")
Path("made").write_text("x")
Path("more").write_text("y")
Path("one").write_text("before")
Path("taken").mkdir()
Path("folder").mkdir()
Path("elsewhere").mkdir()
Path("out").symlink_to("elsewhere")
for made, said in {cases!r}.items():
    try:
        task(made)
    except FileTravelError as error:
        assert said in str(error), (made, error)
    else:
        raise AssertionError(made)
    assert not os.listdir("elsewhere") and not os.listdir("taken"), made
    assert Path("one").read_text() == "before", made
    assert not Path(os.environ["BANDSAW_HOME"], "files", "runs", bandsaw.get_run_id()).exists()
    assert task(0) == 0
""")


@pytest.mark.parametrize("chain", ["default", "kept", "spawned"])
def test_a_process_that_dies_on_its_way_back_leaves_no_files(run, chain):
    run(f"""\
class Deadly:
    def __reduce__(self):
        os.kill(os.getpid(), 9)

@bandsaw.task(chain={chain!r})
def task(*more):
    Path("made").write_text("x")
    return File("made"), *(Deadly() for _ in more)

# main
runs = Path(os.environ["BANDSAW_HOME"], "files", "runs", bandsaw.get_run_id())
assert task()[0].path.startswith(str(runs))
shutil.rmtree(runs)
try:
    task(1)
except bandsaw.errors.WorkerDiedError:
    assert not runs.exists()
else:
    raise AssertionError
""")


def test_a_result_that_is_written_twice_has_its_files_once(run):
    run("""\
@bandsaw.task(chain="kept")
def task(size):
    Path("made").write_text("x")
    return File("made"), bytes(size)

# main
for size in (1, 2_000_000):
    place = Path(task(size)[0]).parent
    assert len(list(place.parent.iterdir())) == 1
    shutil.rmtree(place)
""")


def test_an_exception_arrives_also_without_the_file_in_it(run):
    run("""\
@bandsaw.task
def task():
    raise ValueError(File("missing"))

# main
try:
    task()
except ValueError as error:
    assert error.args == (File("missing"),)
else:
    raise AssertionError
""")


def test_contents_that_change_after_the_id_was_made_are_an_error(run):
    stderr = run(
        """\
class Change(bandsaw.Advice):
    def before(self, session):
        session.execution.execution_id
        Path("in.txt").write_text("other")
        session.proceed()

import bandsaw_config
from bandsaw.advices.subprocess import SubprocessAdvice

bandsaw_config.configuration.add_advice_chain(Change(), SubprocessAdvice(), name="changed")

@bandsaw.task(chain="changed")
def task(file):
    return 1

# main
task(File("in.txt"))
""",
        fails=True,
    )
    assert "FileTravelError: The contents of File('in.txt') have changed" in stderr


def test_files_of_the_code_and_of_derived_classes_count_by_their_contents_at_each_call(run):
    run("""
class Text(File):
    def load(self):
        return Path(self).read_text()

VARIABLE, DERIVED = File("in.txt"), {"a": [Text("in.txt")]}

@bandsaw.task(chain="here")
def variable():
    return open(VARIABLE.path).read()

@bandsaw.task(chain="cached")
def derived():
    return DERIVED["a"][0].load()

@bandsaw.task(chain="here", depends=[File("in.txt"), DERIVED])
def depending():
    return Path("in.txt").read_text()

@bandsaw.task(chain="cached")
def argument(text):
    return text.load(), text

# main
for contents in ("one", "two", "one"):
    Path("in.txt").write_text(contents)
    assert {contents} == {variable(), derived(), depending(), argument(Text("in.txt"))[0]}
    assert type(argument(Text("in.txt"))[1]) is Text
""")


def test_a_file_may_change_between_two_calls(run):
    run("""\
@bandsaw.task(chain="cached")
def task(file):
    return Path(file).read_text()

@bandsaw.task
def without_id(file):
    return Path(file).read_text()

# main
file = File("in.txt")
for text in ("a", "b", "c"):
    Path("in.txt").write_text(text)
    assert task(file) == text
    Path("in.txt").write_text(text * 2)
    assert without_id(file) == text * 2
""")


KEPT = """\
import shutil

@bandsaw.task(chain={chain!r})
def make(size):
    Path("calls").open("a").write("x")
    Path("work", "tree", "empty").mkdir(parents=True, exist_ok=True)
    Path("work", "tree", "data").write_bytes(b"t" * size)
    Path("work", "tree", "link").symlink_to("data")
    Path("work", "run").write_bytes(b"r" * size)
    Path("work", "run").chmod(0o755)
    files = [File("work/run"), File("work/tree"), File("work/run", to="models/{{name}}")]
    return {{"files": files, "more": bytes(size)}}

def look(found):
    assert found["more"] == bytes({size})
    for run in found["files"][::2]:
        assert Path(run).read_bytes() == b"r" * {size} and os.access(run, os.X_OK)
    tree = found["files"][1].path
    assert sorted(os.listdir(tree)) == ["data", "empty", "link"]
    assert Path(tree, "link").read_bytes() == b"t" * {size}
    return found["files"]

def spoil(file, how):
    path = Path(file)
    if how == "gone":
        path.unlink() if path.is_file() else shutil.rmtree(path)
    elif path.is_file():
        path.write_bytes(b"other")
    else:
        Path(path, "data").write_bytes(b"other")

# main
first = look(make({size}))
if {chain!r} == "cached":
    shutil.rmtree("work")
assert look(make({size})) == first
for how in ("gone", "changed"):
    for file in look(make({size})):
        if os.path.lexists(file):
            spoil(file, how)
    look(make({size}))
assert Path("calls").read_text() == "x"
"""


@pytest.mark.parametrize("serializer", ["PickleSerializer", "JsonSerializer"])
@pytest.mark.parametrize("chain", ["cached", "here"])
@pytest.mark.parametrize("size", [10, 700_000])
def test_a_cached_result_brings_its_files_back(run, chain, serializer, size):
    run(KEPT.format(chain=chain, size=size), serializer)


def test_a_hit_in_another_working_directory_brings_a_file_to_its_place_there(run, project):
    code = """\
@bandsaw.task(chain="cached")
def make():
    print("computed")
    Path("made").write_text("x")
    return File("made", to="results/{name}")

# main
first = make().path
os.mkdir("elsewhere")
os.chdir("elsewhere")
second = make().path
print(os.path.relpath(first), second == os.path.abspath("results/made"), Path(second).read_text())
assert not Path(os.environ["BANDSAW_HOME"], "files", "runs", bandsaw.get_run_id()).exists()
"""
    assert run(code) == "computed\n../results/made True x\n"


def test_a_hit_brings_a_file_with_a_relative_path_to_that_path(run):
    code = """\
@bandsaw.task(chain="here")
def make():
    Path("made").write_text("x")
    return File("./made")

# main
make()
os.unlink("made")
print(make(), Path("made").read_text())
"""
    assert run(code) == "./made x\n"


@pytest.mark.parametrize("serializer", ["PickleSerializer", "JsonSerializer"])
@pytest.mark.parametrize("chain", ["cached", "here"])
def test_a_file_of_the_arguments_comes_back_as_that_of_the_call(run, chain, serializer):
    code = f"""\
@bandsaw.task(chain={chain!r})
def task(given, *others):
    print("computed")
    return {{"given": [given["file"]]}}, File(given["file"].path, to="to")

# main
Path("old").write_text("contents")
for file in File("in.txt"), File("old"), File("in.txt"):
    assert task({{"file": file}}, 1) == ({{"given": [file]}}, file)
    assert task({{"file": file}}, File("old"))[0]["given"] == [file]
    Path("in.txt").write_text("contents" if file.path == "old" else "edited")
    assert not Path("to").exists()
"""
    assert run(code, serializer) == "computed\n" * 2


def test_a_file_from_an_executor_arrives_in_the_home_of_the_caller(run, tmp_path):
    code = """\
@bandsaw.task(chain="executor")
def make():
    Path("made").write_text("x")
    return File("made")

# main
# The worker's process takes a folder of its own then.
del os.environ["BANDSAW_HOME"]
path = make().path
print(path.startswith(os.environ["XDG_CACHE_HOME"]), Path(path).read_text())
"""
    assert run(code, XDG_CACHE_HOME=str(tmp_path / "home")) == "True x\n"


def test_a_hit_in_another_process_brings_a_file_once(run):
    code = """\
import atexit

@bandsaw.task(chain="cached there")
def make():
    print("computed")
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    Path(folder, "made").write_text("x")
    return File(Path(folder, "made"))

# main
for number in (1, 2):
    path = Path(make())
    assert path.read_text() == "x"
    assert len(list(path.parent.parent.iterdir())) == number
"""
    assert run(code) == "computed\n"


def test_a_file_with_braces_in_its_name_arrives_and_is_brought_back(run):
    code = """\
@bandsaw.task(chain="cached")
def make():
    Path("a{b}{name}").write_text("x")
    return File("a{b}{name}", to="results/{name}")

# main
path = make().path
os.unlink(path)
print(make().path == path == os.path.abspath("results/a{b}{name}"), Path(path).read_text())
"""
    # The workflow is a template.
    assert run(code) == "True x\n"


def test_what_entries_name_stays_where_it_is():
    # Caches and sessions of earlier versions name these: without them such entries are of no use.
    from bandsaw._files import carrying, keeping

    named = keeping.kept, keeping.given, carrying.came, carrying.came_along, carrying.arrived
    for function in named:
        assert function.__module__.startswith("bandsaw._files.")
    assert File.__module__ == "bandsaw._file"


def test_a_hit_moves_a_file_no_more_than_the_run_where_it_was_made_in_the_callers_process(run):
    code = """\
@bandsaw.task(chain="here")
def make():
    Path("made").write_text("x")
    absolute = Path(tempfile.mkdtemp(), "made")
    absolute.write_text("y")
    return File("made", to="results/{name}"), File(absolute, to="results/{name}")

# main
for _ in range(2):
    one, other = make()
    assert (one.path, one.to) == ("made", "results/{name}") and other.to == one.to
    assert [Path(file).read_text() for file in (one, other)] == ["x", "y"]
    assert not os.path.exists("results")
    for file in (one, other):
        os.unlink(file)
"""
    run(code)


def test_a_cache_counts_the_bytes_of_files_and_takes_no_half_entry(run, project):
    code = """\
@bandsaw.task(chain="here")
def make():
    print("computed")
    Path("made").write_bytes(bytes(3_000_000))
    return File("made")

# main
make()
"""
    assert run(code) == "computed\n"
    listed = project.run("-m", "bandsaw", "cache", "ls").stdout
    assert "3.0 MB" in listed
    [entry] = [p for p in (project.folder / "cache").rglob("*") if p.is_file()]
    assert run(code) == ""
    data = bytearray(entry.read_bytes())
    data[-5] ^= 1
    entry.write_bytes(data)
    (project.folder / "made").unlink()
    assert run(code) == "computed\n"
    assert (project.folder / "made").stat().st_size == 3_000_000
    assert run(code) == ""


@pytest.mark.parametrize("to", ["/x", "../x", "a/../../x", "a\\..\\x", ""])
def test_a_place_that_leads_elsewhere_is_refused(tmp_path, to):
    with pytest.raises(InvalidValueError, match="below the working directory"):
        File("x", to=to)
    with pytest.raises(FileTravelError):
        destinations.below(str(tmp_path), to)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [TreePart("x", FILE)],
        [TreePart("", FILE), TreePart("x", FILE)],
        [TreePart("", FOLDER), TreePart("../x", FILE)],
        [TreePart("", FOLDER), TreePart("/x", FILE)],
        [TreePart("", FOLDER), TreePart("a/x", FILE)],
        [TreePart("", FOLDER), TreePart("..", FOLDER)],
        [TreePart("", FOLDER), TreePart("x", FILE), TreePart("x", FILE)],
        [TreePart("", FOLDER), TreePart("l", LINK, target=".."), TreePart("l/x", FILE)],
        [TreePart("", FOLDER), TreePart("l", LINK, target="/etc")],
        [TreePart("", FOLDER), TreePart("l", LINK, target="../x")],
        [
            TreePart("", FOLDER),
            TreePart("a", LINK, target="."),
            TreePart("b", LINK, target="a/../.."),
        ],
        [TreePart("", LINK, target="x")],
        [TreePart("", FOLDER), TreePart("x", "device")],
    ],
)
def test_names_and_links_from_elsewhere_that_lead_out_are_refused(tmp_path, parts):
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(FileTravelError) as caught:
        ArrivingContents(str(inner / "target"), parts).finish()
    assert not parts or parts[-1].target in str(caught.value)
    assert not list(inner.iterdir()) and [p.name for p in tmp_path.iterdir()] == ["inner"]


def test_a_link_that_leads_out_through_another_one_is_refused(tmp_path):
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "top" / "here").symlink_to("a/b")
    (tmp_path / "top" / "out").symlink_to("here/../../..")
    with pytest.raises(FileTravelError, match="leads out"):
        trees.parts_of(str(tmp_path / "top"))
    parts = [
        *(TreePart("", FOLDER), TreePart("a", FOLDER), TreePart("here", LINK, target="a")),
        TreePart("out", LINK, target="here/../../x"),
    ]
    target = tmp_path / "in" / "target"
    target.parent.mkdir()
    with pytest.raises(FileTravelError):
        ArrivingContents(str(target), parts).finish()
    assert not list(target.parent.iterdir())


def test_what_was_written_just_now_is_read_each_time(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    digest = file_contents.known_digest_of(str(path))
    assert file_contents.digest_if_known(str(path)) == ""
    os.utime(path, (1, 1))
    assert (
        file_contents.known_digest_of(str(path))
        == file_contents.digest_if_known(str(path))
        == digest
    )


def test_a_path_with_a_link_on_its_way_is_refused(tmp_path):
    work, inner = tmp_path / "work", tmp_path / "elsewhere" / "inner"
    work.mkdir()
    inner.mkdir(parents=True)
    (work / "link").symlink_to(inner.parent)
    for name in ("link/x", "link/inner/x", "link/inner/new/x"):
        with pytest.raises(FileTravelError, match="has a link"):
            destinations.below(str(work), name)
    assert not list(inner.iterdir())


def test_folders_that_arrive_at_one_place_at_the_same_time_leave_one_of_them(tmp_path, monkeypatch):
    target = tmp_path / "target"

    def arriving(text):
        made = ArrivingContents(str(target), [TreePart("", FOLDER), TreePart("a", FILE, size=1)])
        made.take(text)
        return made

    def meanwhile(*others):
        """Has others arrive each before the next step of who renames a folder."""
        pending, rename = list(others), os.rename

        def late(*paths):
            rename(*paths)
            if pending:
                pending.pop().finish()

        monkeypatch.setattr(os, "rename", late)

    arriving(b"0").finish()
    # It is put aside by the first one, and what the second one puts there as well.
    meanwhile(arriving(b"2"))
    arriving(b"1").finish()
    assert (target / "a").read_text() == "1"
    # Somebody else is just about to put it aside.
    first, is_dir = arriving(b"3"), os.path.isdir
    taken = []

    def looked(path):
        found = is_dir(path)
        if path == str(target) and found and not taken:
            taken.append(shutil.rmtree(path))
        return found

    monkeypatch.setattr(os.path, "isdir", looked)
    first.finish()
    assert (target / "a").read_text() == "3"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    # No folder to be put into is left.
    lone, gone = tmp_path / "lone", tmp_path / "gone" / "target"
    lone.mkdir()
    with pytest.raises(FileNotFoundError):
        file_contents.exchange(str(lone), str(gone))
    assert lone.is_dir()


def test_contents_that_are_too_short_too_long_or_others_leave_nothing(tmp_path):
    parts = [
        TreePart("", FOLDER),
        TreePart("a", FILE, size=3),
        TreePart("b", FILE),
        TreePart("c", FILE, size=2),
    ]
    target = str(tmp_path / "target")
    arriving = ArrivingContents(target, parts)
    arriving.take(b"aa")
    arriving.take(b"acc")
    digest = arriving.finish()
    assert digest == file_contents.digest_of(target)

    def arrive(data, expected):
        arriving = ArrivingContents(target, parts)
        arriving.take(data)
        arriving.finish(expected)

    for data, expected in ((b"aaac", None), (b"aaaccd", None), (b"aaacd", digest)):
        with pytest.raises(FileTravelError):
            arrive(data, expected)
    assert [p.name for p in tmp_path.iterdir()] == ["target"]
    assert file_contents.digest_of(target) == digest


def test_a_folder_that_loses_a_file_is_not_said_to_be_missing(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def scandir(path):
        with real(path) as entries:
            found = list(entries)
        (tmp_path / "gone").unlink()
        yield found

    real = os.scandir
    (tmp_path / "gone").write_text("")
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        with pytest.raises(FileTravelError, match="gone") as caught:
            trees.parts_of(str(tmp_path))
    assert not isinstance(caught.value, MissingFileError)


def test_what_cannot_be_read_is_named_and_not_where_it_goes(tmp_path):
    with pytest.raises(FileTravelError, match="source' cannot be read"):
        ArrivingContents(str(tmp_path / "target"), [TreePart("", FILE, size=3)]).copy(
            str(tmp_path / "source")
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_linked", [False, True])
def test_of_a_link_the_contents_of_what_it_leads_to_are_copied(tmp_path, is_linked):
    (tmp_path / "made.txt").write_text("made")
    (tmp_path / "link").symlink_to("made.txt")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "target"
    destinations.copy(str(tmp_path / "link"), str(target), is_linked)
    assert target.read_text() == "made" and not target.is_symlink()


def test_contents_that_begin_after_a_file_was_listed_as_empty_are_an_error(tmp_path):
    (tmp_path / "source").write_text("written later")
    arriving = ArrivingContents(str(tmp_path / "target"), [TreePart("", FILE, size=0)])
    with pytest.raises(FileTravelError, match="source' was changed while it was read"):
        arriving.copy(str(tmp_path / "source"))
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("change", ["content", "name", "mode", "more", "link"])
def test_a_folder_counts_by_all_that_is_in_it(tmp_path, change):
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a" / "x").write_text("x")
    (top / "l").symlink_to("a/x")
    destinations.copy(str(top), str(tmp_path / "twin"))
    before = File(top).digest()
    assert File(tmp_path / "twin").digest() == before
    if change == "content":
        (top / "a" / "x").write_text("y")
    elif change == "name":
        (top / "a" / "x").rename(top / "a" / "l")
        (top / "a" / "x").symlink_to("l")
    elif change == "mode":
        (top / "a" / "x").chmod(0o755)
    elif change == "more":
        (top / "b").mkdir()
    else:
        (top / "l").unlink()
        (top / "l").symlink_to("a")
    assert File(top).digest() != before


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "in").write_bytes(bytes(1 << 20))

    def write(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_contents.os, "write", write)
    monkeypatch.delattr(file_contents.os, "copy_file_range", raising=False)
    with pytest.raises(FileTravelError, match=r"target.*No space left"):
        destinations.copy(str(tmp_path / "in"), str(tmp_path / "target"))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_worker_that_runs_calls_itself_and_sees_other_files_is_a_typed_error(monkeypatch):
    monkeypatch.setattr(carrying, "_kept_in", "")
    carrying.take_over({"files_seen": False})
    with pytest.raises(FileTravelError, match=r"isolate=True"):
        carrying.delivered("/file", "0" * 64, "file", "file", None)
    carrying.take_over({})
    assert carrying.delivered("/file", "0" * 64, "file", "file", None) == File("/file")
    carrying.forget()


def test_a_file_of_a_run_has_a_place_when_the_last_one_before_was_just_fetched(monkeypatch):
    given = []

    def run_folder():
        given.append(folder())
        if len(given) == 1:
            shutil.rmtree(given[0])
        return given[-1]

    folder = destinations.run_folder
    monkeypatch.setattr(destinations, "run_folder", run_folder)
    for name in ("..", "a/b", ""):
        with pytest.raises(FileTravelError, match="is refused"):
            destinations.new_place(name)
    place = destinations.new_place("name")
    assert os.path.isdir(os.path.dirname(place)) and given == [given[0]] * 2


def test_a_file_beside_much_data_is_copied_once(run, tmp_path):
    code = """\
@bandsaw.task(chain="kept")
def make(number):
    Path("made.bin").write_bytes(bytes(5000))
    return File("made.bin"), bytes(1_000_000)

# main
for number in range(3):
    print(make(number)[0])
"""
    home = tmp_path / "own home"
    returned = run(code, BANDSAW_HOME=str(home)).splitlines()
    assert sorted(map(str, home.glob("files/runs/*/*/*"))) == sorted(returned)


@pytest.mark.parametrize("chain", ["default", "spawned", "kept", "executor"])
def test_what_a_call_has_not_returned_in_the_end_is_left_nowhere(run, tmp_path, chain):
    code = """\
@bandsaw.task(chain=CHAIN)
def make(rest):
    Path("made.bin").write_bytes(bytes(5000))
    return [File("made.bin"), File("missing") if rest == "a file" else (each for each in [])]

# main
for rest in ("a file", "another value"):
    try:
        make(rest)
    except Exception as error:
        print(type(error).__name__)
"""
    home = tmp_path / "own home"
    told = run(code.replace("CHAIN", repr(chain)), BANDSAW_HOME=str(home))
    assert told.split() == ["MissingFileError", "UnserializableError"]
    assert list(home.glob("files/runs/*/*")) == []


def test_of_files_that_are_not_all_fetched_none_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "home"))

    def get(path, target):
        if path == "/there/c":
            raise FileTravelError("the connection was lost")
        Path(target).write_text(path)

    def take(returned):
        with carrying.Arrived(SimpleNamespace(facts={}), get):
            for name, to in returned:
                carrying.arrived(f"/there/{name}", to)

    with pytest.raises(FileTravelError, match="the connection was lost"):
        take([("a", None), ("b", None), ("a", "placed/{name}"), ("c", None)])
    assert list(tmp_path.glob("home/files/runs/*/*")) == []
    assert (tmp_path / "placed" / "a").read_text() == "/there/a"


@pytest.mark.parametrize("way", ["put", "get"])
def test_files_of_a_call_that_is_killed_go_no_further(tmp_path, way):
    call, sent = ending.Ending(), []
    large, there = tmp_path / "large", 40_000_000
    with open(large, "wb") as file:
        file.truncate(there)

    class Connection:
        """The far end has the file, or takes it, and the call is killed after a few pieces."""

        target = SimpleNamespace(host="far")
        _stop_waiting = _release = staticmethod(lambda stream: None)

        def _add(self, stream):
            return 1

        def send(self, letter, number, *pieces):
            sent.append((letter, b"".join(pieces)))
            if len(sent) == 5:
                call.end()

        def _wait(self, stream, seconds):
            if way == "get":
                parts = [["", "file", False, there, ""]]
                is_first = len(sent) == 1
                body = json.dumps({"parts": parts}).encode() if is_first else bytes(1 << 18)
                stream.inbox.append((b"W", body, None))

    def cross():
        ending.current.set(call)
        if way == "get":
            ssh_sending.get_file(Connection(), "/there/large", str(tmp_path / "arrived"))
        with ssh_sending._near(Connection(), "it") as near:
            near.put(Sent(str(large)))

    with pytest.raises(FileTravelError, match="the call was killed"):
        contextvars.copy_context().run(cross)
    assert len(sent) < 100
    assert sent[-1][0] == b"Q"
    if way == "get":
        assert json.loads(sent[-2][1]) == {"drop": "/there/large"}
    assert list(tmp_path.iterdir()) == [large]


def test_a_folder_that_two_threads_find_made_anew_is_held_once(tmp_path, monkeypatch):
    path, same = str(tmp_path / "run"), os.path.samestat

    def other_thread(*stats):
        monkeypatch.setattr(os.path, "samestat", same)
        with monkeypatch.context() as patched:
            patched.setattr(kept, "_MOST_HELD", 0)  # it has not opened it yet
            kept.hold(path)
        return same(*stats)

    monkeypatch.setattr(kept, "_held", {})
    os.mkdir(path)
    kept.hold(path)
    os.rmdir(path)
    os.mkdir(path)
    monkeypatch.setattr(os.path, "samestat", other_thread)
    kept.hold(path)
    (descriptor,) = kept._held.values()
    assert same(os.fstat(descriptor), os.stat(path))
    os.close(descriptor)


def test_a_file_says_where_it_goes():
    file = File("x", to=Path("models/{name}"))
    assert repr(file) == "File('x', to='models/{name}')"
    twin = pickle.loads(pickle.dumps(file))
    assert (twin.path, twin.to) == ("x", os.path.join("models", "{name}"))
    assert bandsaw.File is File


def test_what_runs_have_returned_is_listed_and_removed(run, project, tmp_path):
    code = """\
@bandsaw.task
def make():
    Path("made.bin").write_bytes(bytes(5000))
    return File("made.bin")

# main
make()
print(bandsaw.get_run_id())
"""
    home = {"BANDSAW_HOME": str(tmp_path / "own home")}
    run_id = run(code, **home).strip()

    def command(*arguments, **options):
        return project.run("-m", "bandsaw", "files", *arguments, **home, **options)

    listed = command("ls").stdout
    assert f"returned in run {run_id}" in listed and "5.0 kB" in listed
    [found] = json.loads(command("ls", "--json").stdout)
    assert found["size"] == 5000
    assert command("rm", "--all").stdout == "removed 0 places, 0 B\n"
    os.utime(found["path"], (found["used"] - 90_000,) * 2)
    assert command("rm", "--older-than", "2d").stdout == "removed 0 places, 0 B\n"
    assert command("rm", "--max-bytes", "1kB").stdout == "removed 1 place, 5.0 kB\n"
    assert "0 places" in command("ls").stdout
    assert command("rm", check=False).returncode == 1


def bundled(at, content, **header):
    """Writes what a bundle has of one file, see `bundle`."""
    header = json.dumps({**header, "parts": [["", "file", False, len(content), ""]]}).encode()
    at.write_bytes(len(header).to_bytes(8, "big") + header + content)


KEY = hashlib.sha256(b"contents").hexdigest()


@pytest.mark.parametrize(
    ("key", "name", "content"),
    [
        ("..", "x", b"contents"),
        ("../../../out", "x", b"contents"),
        (KEY, "../../../../x", b"contents"),
        (KEY, "{folder}/x", b"contents"),
        # They would be those of another file, which the session names.
        (KEY, "x", b"others"),
        (f"{KEY}x", "x", b"contents"),
    ],
)
def test_contents_beside_a_session_are_those_that_they_are_named_by(tmp_path, key, name, content):
    name = name.format(folder=tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    bundled(tmp_path / "session-files", content, key=key, name=name, digest=digest)
    with pytest.raises(FileTravelError):
        bundle.receive(str(tmp_path / "session"), str(tmp_path / "given"))
    found = [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert found == [tmp_path / "session-files"]


@pytest.mark.parametrize("is_link", [False, True])
def test_contents_beside_a_session_are_not_put_where_others_can_write(tmp_path, is_link):
    bundled(tmp_path / "session-files", b"contents", key=KEY, name="x")
    given = tmp_path / "given"
    if is_link:
        (tmp_path / "elsewhere").mkdir()
        given.symlink_to("elsewhere")
    else:
        given.mkdir()
        given.chmod(0o777)
    with pytest.raises(FileTravelError, match="can be written by other users"):
        bundle.receive(str(tmp_path / "session"), str(given))
    assert not list(given.iterdir())


def test_contents_that_come_back_are_those_that_were_returned(tmp_path):
    made, session = tmp_path / "made", tmp_path / "session"
    made.write_bytes(b"contents")
    called = bundle.Back(None, str(session)).copied(str(made))
    bundle.get(bundle.beside(session), called, str(tmp_path / "here"))
    assert (tmp_path / "here").read_bytes() == b"contents"
    # The session says which they are, and somebody has put others beside it.
    digest = hashlib.sha256(b"others").hexdigest()
    for path in (called, str(made)):
        bundled(tmp_path / "session-files", b"others", path=path, digest=digest)
        with pytest.raises(FileTravelError, match="did not"):
            bundle.get(bundle.beside(session), called, str(tmp_path / "there"))
    assert not (tmp_path / "there").exists()
