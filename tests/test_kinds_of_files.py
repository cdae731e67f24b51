"""Files of every kind and name, in every place of a value, over every way to another process."""

import shutil
import subprocess
import sys

import pytest

from tests.advices.test_ssh_files import BACKEND

CONFIGURATION = """\
import os
from concurrent.futures import ProcessPoolExecutor

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.ssh import Remote, SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from local_backend import LocalBackend

remote = Remote(
    interpreter=bandsaw.Interpreter(executable={executable!r}), directory={far!r}, **{arguments!r}
)
ways = {{
    "here": [],
    "own": [SubprocessAdvice()],
    "kept": [SubprocessAdvice(workers=1)],
    "ssh": [SshAdvice().add_remote(remote)],
    "ssh kept": [SshAdvice(workers=1).add_remote(remote)],
    "steps": [SshAdvice(backend=LocalBackend()).add_remote(remote)],
    "pool": [ExecutorAdvice(lambda: ProcessPoolExecutor(1))],
}}
configuration = bandsaw.Configuration().add_modules_for_distribution("local_backend")
for name, way in ways.items():
    configuration.add_advice_chain(*way, name=name)
    configuration.add_advice_chain(CachingAdvice("cache"), *way, name=f"{{name}} cached")
"""
WORKFLOW = """\
import dataclasses, os, shutil, socket, stat, sys, tempfile
from pathlib import Path
import bandsaw
from bandsaw import File
from bandsaw.errors import FileTravelError

way = WAY
NAMES = [
    "plain", "a b", "a\\nb", os.fsdecode(b"a\\xff\\xfeb"), "x" * 255, "-rf", "a;b'c\\"$(d)", "é",
]
ODD = ["fifo", "socket", "device", "out", "absolute"]

@dataclasses.dataclass
class Holder:
    file: File
    name: str

def fill(top):
    # A folder with all that may be in one.
    top = Path(top)
    top.mkdir()
    for name in NAMES:
        (top / name).write_text(f"contents of {name!a}")
    (top / "empty").touch()
    (top / "no one").mkdir()
    (top / "runs").write_text("x")
    (top / "runs").chmod(0o755)
    with open(top / "sparse", "wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    (top / "in").mkdir()
    (top / "in" / "link").symlink_to("../plain")
    (top / "dangling").symlink_to("nothing")
    return top

def odd(top, kind):
    top = Path(top)
    top.mkdir(exist_ok=True)
    if kind == "fifo":
        os.mkfifo(top / kind)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(top)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(kind)
        os.chdir(here)
    elif kind == "device":
        try:
            os.mknod(top / kind, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            os.mkfifo(top / kind)
    else:
        (top / kind).symlink_to("../x" if kind == "out" else "/etc/passwd")
    return top

def seen(folder):
    # All that can be told of it.
    found = {}
    for path in Path(folder).rglob("*"):
        name = os.fsencode(path.relative_to(folder)).hex()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = (path.read_bytes().strip(b"\\0").decode(), path.stat().st_size,
                           os.access(path, os.X_OK) and bool(path.stat().st_mode & 0o100))
    return found

def files_in(value):
    if isinstance(value, File):
        return [value]
    if isinstance(value, Holder):
        return [value.file]
    if isinstance(value, dict):
        return [file for pair in value.items() for one in pair for file in files_in(one)]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [file for one in value for file in files_in(one)]
    if hasattr(value, "tolist"):
        return files_in(value.tolist())
    return []

def in_all_places(file, name):
    value = [file, Holder(file, name), {file: name}, {"x": ({"y": file},)}, frozenset([file])]
    try:
        import numpy
    except ImportError:
        return value
    return [*value, numpy.array([file, name, None], dtype=object)]

@bandsaw.task(chain=way)
def look(folder):
    return seen(folder)

@bandsaw.task(chain=way)
def read(value):
    return [Path(file).read_text() for file in files_in(value)]

@bandsaw.task(chain=way)
def spoil(file):
    os.chmod(file, 0o600)
    Path(file).write_text("spoiled")

def make_tree():
    print("making")
    return File(fill(Path(tempfile.mkdtemp(), "tree")), to="made/{name}")

def make_places():
    made = Path(tempfile.mkdtemp(), "a\\nb")
    made.write_text("made")
    return in_all_places(File(made), "x")

def make_odd(kind):
    return File(odd(Path(tempfile.mkdtemp(), "tree"), kind))

@bandsaw.task(chain=way)
def inner(path):
    return File(path)

@bandsaw.task(chain=way)
def outer():
    made = Path(tempfile.mkdtemp(), "nested")
    made.write_text("nested")
    found = inner(str(made))
    assert Path(found).read_text() == "nested"
    return {"found": found}

plain, cached = (
    {each: bandsaw.task(chain=chain)(each) for each in (make_tree, make_places, make_odd)}
    for chain in (way, f"{way} cached")
)

def refused(call):
    try:
        result = call()
    except FileTravelError as error:
        return str(error)
    return f"NOT REFUSED: {result!r}"

if __name__ == "__main__":
    tree = fill("tree")
    expected = seen(tree)
    problems = []

    def check(what, condition, more=""):
        if not condition:
            problems.append((what, more))

    check("look", look(File(tree)) == expected)
    for name in [*NAMES, "empty", "runs", "sparse"]:
        [text] = read(File(tree / name))
        check(name, text == (tree / name).read_text())
    values = in_all_places(File(tree / "a b"), "a b")
    got = read(values)
    check("places", got == read.__wrapped__(values) and len(got) == len(values), got)
    if way not in ("here", "own", "kept", "pool"):
        spoil(File(tree / "plain"))
        check("spoilt", read(File(tree / "plain")) == [(tree / "plain").read_text()])
        check("mine", "spoiled" not in (tree / "plain").read_text())
    for tasks in (plain, cached, cached):
        made = tasks[make_tree]()
        check("made tree", seen(made) == expected, made)
        check("made places", [Path(f).read_text() for f in files_in(tasks[make_places]())]
              == ["made"] * len(values))
        if tasks is cached:
            shutil.rmtree(made)
    check("nested", Path(outer()["found"]).read_text() == "nested")
    for kind in ODD:
        top = odd(f"odd {kind}", kind)
        if way in ("ssh", "ssh kept", "steps"):
            said = refused(lambda: look(File(top)))
            check(f"odd {kind}", kind in said and "NOT" not in said, said)
        if way != "here":
            said = refused(lambda: plain[make_odd](kind))
            check(f"made {kind}", kind in said and "NOT" not in said, said)
    if way in ("ssh", "ssh kept", "steps"):
        for path in ("/dev/null", "odd fifo/fifo"):
            said = refused(lambda: look(File(path)))
            check(path, "no file and no folder" in said, said)
    for problem in problems:
        print(*problem)
    assert not problems
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["here", "own", "kept", "ssh", "ssh kept", "steps", "pool"])
def test_all_kinds_of_files_travel_or_are_refused(project, remote_arguments, tmp_path, way):
    project.write(
        "bandsaw_config.py",
        CONFIGURATION.format(
            executable=sys.executable, far=str(tmp_path / "far"), arguments=remote_arguments
        ),
    )
    project.write("local_backend.py", BACKEND)
    (project.folder / "workflow.py").write_text(WORKFLOW.replace("WAY", repr(way)))
    done = project.run("workflow.py", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "making\n" * 2


FULL = """\
import os, sys, tempfile
from pathlib import Path
import bandsaw
from bandsaw import File
from bandsaw.errors import FileTravelError

way, size = WAY, 6_000_000

@bandsaw.task(chain=way)
def make(size, to):
    made = Path(tempfile.mkdtemp(), "made")
    made.mkdir()
    (made / "first").write_text("x")
    (made / "second").write_bytes(os.urandom(size))
    return File(made, to=to)

@bandsaw.task(chain=way)
def read(file):
    return os.path.getsize(Path(file, "second"))

if __name__ == "__main__":
    # What is in the folder before is the small disk's own, or replaced only by something whole.
    where = sys.argv[1]
    if where == "to":
        Path("full/made").mkdir()
        Path("full/made/old").touch()
    elif where == "arguments":
        assert read(make(10, None)) == 10
    try:
        if where == "arguments":
            read(make(size, "{name}"))
        else:
            make(size, "full/{name}" if where == "to" else None)
    except FileTravelError as error:
        print(error)
    if where == "to":
        assert [path.name for path in Path("full").rglob("*")] == ["made", "old"]
    # Where there is room the same goes on.
    assert Path(make(10, None), "second").stat().st_size == 10
"""


@pytest.fixture
def full(tmp_path):
    """A folder on a disk of its own, which takes 4 MB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done and done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(
    ("way", "where"),
    [
        ("own", "home"),
        pytest.param("own", "to", marks=pytest.mark.slow),
        pytest.param("kept", "home", marks=pytest.mark.slow),
        pytest.param("pool", "home", marks=pytest.mark.slow),
        pytest.param("steps", "home", marks=pytest.mark.slow),
        pytest.param("steps", "to", marks=pytest.mark.slow),
        pytest.param("ssh", "home", marks=pytest.mark.slow),
        pytest.param("ssh kept", "to", marks=pytest.mark.slow),
        ("ssh kept", "arguments"),
    ],
)
def test_a_disk_that_is_full_is_said_and_nothing_half_is_left(
    project, remote_arguments, tmp_path, full, way, where
):
    python = tmp_path / "python"
    home = full if where == "arguments" else tmp_path / "far home"
    python.write_text(f"#!/bin/sh\nexport BANDSAW_HOME='{home}'\nexec {sys.executable} \"$@\"\n")
    python.chmod(0o755)
    project.write(
        "bandsaw_config.py",
        CONFIGURATION.format(
            executable=str(python), far=str(tmp_path / "far"), arguments=remote_arguments
        ),
    )
    project.write("local_backend.py", BACKEND)
    (project.folder / "workflow.py").write_text(FULL.replace("WAY", repr(way)))
    if where == "to":
        project.folder.joinpath("full").mkdir()
        subprocess.run(["mount", "--bind", full, project.folder / "full"], check=True)
    variables = {"BANDSAW_HOME": str(full)} if where == "home" else {}
    try:
        done = project.run("workflow.py", where, check=False, **variables)
    finally:
        if where == "to":
            subprocess.run(["umount", "--lazy", project.folder / "full"], check=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No space left" in done.stdout and len(done.stdout.splitlines()) == 1, done.stdout
    left = [path for path in full.rglob("second") if path.stat().st_size > 10]
    assert not left and not list(full.rglob(".bandsaw-*"))
