"""Files that travel to another machine and back, over a real server."""

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bandsaw._files import kept
from bandsaw._files.crossing import Far
from bandsaw._system import file_contents, trees
from tests.conftest import ROOT

CONFIGURATION = """\
import os

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.ssh import Remote, SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from local_backend import LocalBackend

remote = Remote(
    interpreter=bandsaw.Interpreter(executable={executable!r}).set_environment(
        USE_JSON=os.environ.get("USE_JSON", "")), directory={far!r}, **{arguments!r})
steps = SshAdvice(backend=LocalBackend()).add_remote(remote)
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SshAdvice().add_remote(remote))
    .add_advice_chain(SshAdvice(workers=1).add_remote(remote), name="kept")
    .add_advice_chain(SshAdvice().add_remote(remote), SubprocessAdvice(), name="twice")
    .add_advice_chain(CachingAdvice("cache"), SshAdvice().add_remote(remote), name="cached")
    .add_advice_chain(steps, name="steps")
    .add_advice_chain(steps, SubprocessAdvice(), name="steps twice")
    .add_modules_for_distribution("local_backend")
)
if os.environ.get("USE_JSON"):
    configuration.set_serializer(bandsaw.JsonSerializer())
"""
# With files and steps.
BACKEND = """\
import os, shutil, subprocess

class LocalBackend:
    steps = []

    def create_dir(self, remote, remote_path):
        remote_path.mkdir(mode=0o700, parents=True)

    def copy_file_to_remote(self, remote, local_path, remote_path):
        self.steps.append("to " + remote_path.name)
        shutil.copyfile(local_path, remote_path)

    def execute_remote(self, remote, executable, *arguments):
        subprocess.run([executable, *arguments], check=True)

    def copy_file_from_remote(self, remote, remote_path, local_path):
        self.steps.append("from " + remote_path.name)
        shutil.copyfile(remote_path, local_path)

    def delete_dir(self, remote, remote_path):
        shutil.rmtree(remote_path)
"""
WORKFLOW = """\
import json, os, sys, tempfile
from pathlib import Path
import bandsaw
from bandsaw import File
from bandsaw.errors import FileTravelError

{tasks}

if __name__ == "__main__":
{body}
"""


@pytest.fixture
def far(tmp_path):
    """The folder of the other machine."""
    return tmp_path / "far"


@pytest.fixture
def run(project, remote_arguments, far):
    def run(code, **variables):
        project.write(
            "bandsaw_config.py",
            CONFIGURATION.format(
                executable=sys.executable, far=str(far), arguments=remote_arguments
            ),
        )
        project.write("local_backend.py", BACKEND)
        tasks, _, body = code.partition("\n# main\n")
        text = WORKFLOW.format(tasks=tasks, body=textwrap.indent(body, "    "))
        (project.folder / "workflow.py").write_text(text)
        return project.run("workflow.py", **variables).stdout

    return run


def files_in(far):
    [root] = far.glob("bandsaw-*")
    return root / "files"


BOTH_WAYS = """\
@bandsaw.task(chain={chain!r})
def task(given):
    file, folder, twin = given["deep"]
    assert Path(file).name == "in.txt" and not file.path.startswith({project!r}), file
    assert Path(file).read_text() == Path(twin).read_text() == "contents"
    assert Path(twin).name == "other name.csv" and os.access(twin, os.X_OK)
    assert os.readlink(Path(folder) / "link") == "inner/data"
    assert Path(folder, "link").read_bytes() == bytes(700_000)
    made = Path(tempfile.mkdtemp())
    (made / "made").write_bytes(b"m" * 3_000_000)
    (made / "made").chmod(0o755)
    (made / "tree" / "empty").mkdir(parents=True)
    (made / "tree" / "x").write_text("x")
    again = [File(made / "made"), File(made / "tree", to="out/{{name}}")]
    to = File(made / "tree", to="out/{{name}}")
    return [file, folder, File(made / "made"), {{"to": to, "again": again}}]

# main
Path("in.txt").write_text("contents")
Path("other name.csv").write_text("contents")
Path("other name.csv").chmod(0o755)
Path("folder", "inner").mkdir(parents=True)
Path("folder", "inner", "data").write_bytes(bytes(700_000))
Path("folder", "link").symlink_to("inner/data")
for _ in range(2):
    sent = [File("in.txt"), File("folder"), File("other name.csv")]
    file, folder, made, found = task({{"deep": sent}})
    assert [file, folder] == sent[:2]
    assert Path(made).read_bytes() == b"m" * 3_000_000 and os.access(made, os.X_OK)
    assert found["to"].path == os.path.abspath("out/tree")
    assert sorted(os.listdir("out/tree")) == ["empty", "x"]
    assert found["again"] == [made, found["to"]]
"""


@pytest.mark.parametrize("chain", ["default", "kept", "twice", "cached", "json"])
def test_files_travel_to_another_machine_and_back(run, project, far, chain):
    told = "from bandsaw._system import work\nnames = []\nwork.listeners.append(names.append)\n"
    code = BOTH_WAYS.format(chain=chain.replace("json", "kept"), project=str(project.folder))
    code = code.replace("# main\n", f"# main\n{told}") + (
        "names = [one.name for one in names if one.is_over and one.done]\n"
        "assert 'sending code to 127.0.0.1' in names, names\n"
        "assert 'sending folder' in names and 'fetching made' in names, names\n"
    )
    run(code, **({"USE_JSON": "1"} if chain == "json" else {}))
    there = files_in(far)
    assert not list((there / "runs").glob("*"))
    for found in (there / "kept").glob("*/content"):
        assert not found.stat().st_mode & 0o222
    assert len(list((there / "kept").iterdir())) == 3


@pytest.mark.parametrize("chain", ["steps", "steps twice"])
def test_files_travel_with_files_and_steps(run, project, far, chain):
    code = """\
@bandsaw.task(chain="steps")
def plain(value):
    return value

"""
    code += BOTH_WAYS.format(chain=chain, project=str(project.folder))
    code += """
from local_backend import LocalBackend

steps = LocalBackend.steps
there = ["to distribution.pyz", "to session", "to session-files"]
assert steps == [*there, "from session-back", "from session-back-files"] * 2, steps
del steps[:]
assert plain(1) == 1 and steps == [*there[:2], "from session-back"], steps
"""
    run(code)
    assert list(far.iterdir()) == []


SEND = """\
import bandsaw._files.crossing as crossing

def count(near, file):
    print("sent", os.path.basename(file.path), flush=True)
    put(near, file)

put, crossing.Near.put = crossing.Near.put, count

@bandsaw.task(chain="kept")
def read(file, spoil=False):
    text = Path(file).read_text()
    if spoil:
        os.chmod(file, 0o600)
        Path(file).write_text(text[::-1])
    return text

# main
for name in ("a", "b"):
    Path(name).write_text("same")
"""


@pytest.mark.parametrize("is_large", [False, True])
def test_contents_are_sent_once_and_looked_at_before_each_use(run, far, is_large):
    # What is large is digested while it is sent.
    send = SEND + "crossing._LARGE = 1\n" * is_large
    code = send + 'print(read(File("a")), read(File("b")), read(File("a")))\n'
    assert run(code) == "sent a\nsame same same\n"
    assert run(code) == "same same same\n"
    # What a task has done to its input is no other task's.
    spoil = send + 'print(read(File("a"), True)); print(read(File("a")), read(File("b")))\n'
    assert run(spoil) == "same\nsent a\nsame same\n"
    [content] = (files_in(far) / "kept").glob("*/content")
    os.utime(content, ns=(0, 0))
    assert run(code) == "sent a\nsame same same\n"


def test_large_contents_that_change_while_they_are_sent_are_an_error(run, far):
    run("""\
import bandsaw._files.crossing as crossing
from bandsaw._system import trees

@bandsaw.task(chain="kept")
def task(file):
    return os.path.getsize(file)

def changing(path, parts):
    yield from read(path, parts)
    Path(path).write_bytes(b"y" * (1 << 24))

read = trees.read

# main
Path("in.bin").write_bytes(b"x" * (1 << 24))
trees.read = changing
try:
    task(File("in.bin"))
except FileTravelError as error:
    assert "was changed while it was sent" in str(error), error
else:
    raise AssertionError
trees.read = read
assert task(File("in.bin")) == 1 << 24
""")
    [content] = far.rglob("content")
    assert content.read_bytes() == b"y" * (1 << 24)


def test_contents_that_change_on_the_way_are_an_error_and_nothing_is_kept(run, far):
    run("""\
class Change(bandsaw.Advice):
    def before(self, session):
        session.execution.execution_id
        Path("in.txt").write_text("other")
        session.proceed()

import bandsaw_config

configuration = bandsaw_config.configuration
[ssh] = configuration.get_advice_chain("default")
configuration.add_advice_chain(Change(), ssh, name="changed")

@bandsaw.task(chain="changed")
def task(file):
    return 1

# main
Path("in.txt").write_text("contents")
try:
    task(File("in.txt"))
except FileTravelError as error:
    assert "have changed between" in str(error), error
else:
    raise AssertionError
""")
    assert not list(far.rglob("content"))


def test_what_cannot_be_fetched_is_a_typed_error(run, far):
    run("""\
@bandsaw.task
def task(which):
    return File(which, to="out/x")

# main
Path("elsewhere").mkdir()
Path("out").symlink_to("elsewhere")
for which, said in (("/missing", "does not exist"), (__file__, "has a link")):
    try:
        task(which)
    except FileTravelError as error:
        assert said in str(error), error
    else:
        raise AssertionError
assert not os.listdir("elsewhere")
""")


@pytest.fixture
def far_end(tmp_path, monkeypatch):
    """The far end of a stream, and what it has answered."""
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "home"))
    answers = []
    far = Far(lambda letter, body: answers.append((letter, bytes(body))))

    def ask(**request):
        del answers[:]
        far.take(b"F", json.dumps(request).encode())
        return [json.loads(body) for letter, body in answers if letter == b"F"]

    ask.far, ask.answers = far, answers
    return ask


KEY = "ab" * 32


def test_a_disk_that_is_full_there_is_said_and_leaves_nothing(far_end, tmp_path, monkeypatch):
    def write(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    parts = [["", "file", False, 3, ""]]
    far_end(put=parts)
    with monkeypatch.context() as patched:
        patched.setattr(file_contents.os, "write", write)
        with pytest.raises(OSError, match="No space left"):
            far_end.far.take(b"W", b"abc")
    # The rest is on its way already.
    far_end.far.take(b"W", b"abc")
    assert far_end(end=KEY, name="x", digest=KEY) == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("key", "name", "parts", "digested"),
    [
        ("../x", "x", [["", "file", False, 3, ""]], b"abc"),
        (KEY, "../x", [["", "file", False, 3, ""]], b"abc"),
        (KEY, "x", [["../x", "file", False, 3, ""]], b"abc"),
        (KEY, "x", [["", "folder", False, 0, ""], ["/x", "file", False, 3, ""]], b"abc"),
        (KEY, "x", [["", "folder", False, 0, ""], ["l", "link", False, 0, "/etc"]], b"abc"),
        (KEY, "x", [["", "file", False, 3, ""]], b"abd"),
    ],
)
def test_what_leads_out_or_is_not_what_was_announced_is_not_kept(
    far_end, tmp_path, key, name, parts, digested
):
    def put():
        far_end(put=parts)
        far_end.far.take(b"W", b"abc")
        far_end(end=key, name=name, digest=hashlib.sha256(digested).hexdigest())

    with pytest.raises((OSError, ValueError)):
        put()
    far_end.far.abandon()
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert far_end(look=[[key, name]])[0]["lacking"] == [key]


def test_only_what_was_returned_is_removed(far_end, tmp_path):
    kept_file = tmp_path / "mine"
    kept_file.write_text("x")
    far_end(get=str(kept_file))
    assert far_end(drop=str(kept_file)) == [{"is_same": True}]
    kept_file.write_text("xx")
    assert far_end(drop=str(kept_file)) == [{"is_same": False}]
    run = Path(kept.folder(), "runs")
    (run / "r" / "t").mkdir(parents=True)
    far_end(drop=str(run))
    link = run / "r" / "t" / "link"
    link.symlink_to(kept_file)
    far_end(drop=str(link))
    assert kept_file.exists() and link.is_symlink()
    (run / "r" / "t" / "made").write_text("x")
    link.unlink()
    far_end(drop=str(run / "r" / "t" / "made"))
    assert not run.exists() or not list(run.iterdir())


def test_another_link_to_a_file_that_comes_or_goes_is_no_change_of_it(far_end, tmp_path):
    path = tmp_path / "made"
    path.write_bytes(b"abc")
    os.link(path, tmp_path / "another")
    far_end(get=str(path))
    os.unlink(tmp_path / "another")
    assert far_end(drop=str(path)) == [{"is_same": True}]
    far_end(get=str(path))
    path.write_bytes(b"abcd")
    assert far_end(drop=str(path)) == [{"is_same": False}]


def test_what_is_kept_goes_when_it_was_not_used_for_long(tmp_path):
    base = str(tmp_path)
    digests = {}
    for name, size in (("old", 10), ("large", 1000), ("small", 10)):
        parts = [trees.TreePart("", trees.FILE, size=size)]
        (tmp_path / name).write_bytes(os.urandom(size))
        digest = digests[name] = file_contents.digest_of(str(tmp_path / name))
        arriving = kept.arriving(base, parts)
        arriving.take((tmp_path / name).read_bytes())
        kept.arrived(base, arriving, digest, name, digest)
        assert kept.may_have(base, size)
        assert kept.is_there(base, digest, name)
    assert not kept.may_have(base, 11)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(tmp_path / "old")

    def age(name, days):
        path = tmp_path / "kept" / digests[name]
        os.utime(path, (path.stat().st_mtime - days * 86400,) * 2)

    def names(found):
        return [each.what for each in found]

    age("old", 40)
    age("large", 3)
    # As when this process ends.
    for name in digests:
        os.close(kept._held.pop(str(tmp_path / "kept" / digests[name])))
    used = str(tmp_path / "kept" / digests["large"])
    uses = f"from bandsaw._files import kept; kept.hold({used!r})"
    with subprocess.Popen(
        [sys.executable, "-c", f"{uses}; print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
    ) as process:  # fmt: skip
        process.stdout.readline()
        assert names(kept.prune(base, kept.KEPT_SECONDS)) == ["old"]
        assert names(kept.prune(base, kept.KEPT_SECONDS, 500)) == []
        process.kill()
    # What runs have returned has no bound.
    assert names(kept.prune(base, kept.KEPT_SECONDS, 500, ("runs",))) == []
    assert names(kept.prune(base, kept.KEPT_SECONDS, 500)) == ["large"]
    # It may be in use.
    assert names(kept.prune(base, 0, 0)) == []
    assert names(kept.found(base)) == ["small"]
    assert sorted(os.listdir(tmp_path / "kept")) == [digests["small"]]
