"""A store that a team shares, as a folder. Servers are in `test_cache_servers.py`."""

import contextlib
import importlib.util
import io
import json
import logging
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import bandsaw
from bandsaw._cache import entry, record, shared_sending
from bandsaw._cache import shared as shared_store
from bandsaw._cache.shared_listing import Listing
from bandsaw.advices.cache import CachingAdvice
from bandsaw.errors import InvalidValueError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from tests.conftest import ROOT

pytest.importorskip("fsspec", reason="fsspec is not installed")
KEY = b"a key of the whole team"


class Task:
    """A task that counts how often it is executed."""

    def __init__(self, value=1, task_id="task", **kwargs):
        self.value, self.task_id, self.executed, self.kwargs = value, task_id, 0, kwargs

    def execute(self, execution):
        self.executed += 1
        return Result(self.value)

    def __str__(self):
        return "some.task"


@pytest.fixture
def machine(configure, tmp_path):
    """Makes caches with folders of their own, and one store; each returns what calls it."""
    url = f"file://{tmp_path / 'team'}"

    def machine(name, serializer=None, url=url, **options):
        advice = CachingAdvice(tmp_path / name, shared=url, **options)
        configuration = configure(advice)
        configuration.set_serializer(serializer or bandsaw.PickleSerializer(KEY))

        def call(task, execution_id="execution"):
            return Session(task, Execution(execution_id), configuration).initiate().value

        return call

    return machine


@pytest.fixture(autouse=True)
def sent(tmp_path):
    """Has all entries sent that were computed, and forgets which stores were away."""

    def sent(at_the_end=False):
        shared_sending._is_ending = at_the_end
        try:
            for store in list(shared_store._stores.values()):
                store.sending.finish()
        finally:
            shared_sending._is_ending = False

    yield sent
    sent(at_the_end=True)
    shared_store._stores.clear()


def entries(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "serializer", [bandsaw.PickleSerializer(KEY), bandsaw.JsonSerializer()], ids=["signed", "json"]
)
def test_what_one_machine_computed_another_one_finds_and_keeps(machine, serializer, sent, tmp_path):
    first, second = Task([1, "two"]), Task([1, "two"])
    assert machine("one", serializer)(first) == [1, "two"]
    sent()
    assert entries(tmp_path / "team") == ["task/execution"]
    assert machine("two", serializer)(second) == [1, "two"]
    assert (first.executed, second.executed) == (1, 0)
    assert entries(tmp_path / "two") == ["task/execution"]
    shutil.rmtree(tmp_path / "team")
    assert machine("two", serializer)(second) == [1, "two"]
    assert second.executed == 0


def test_what_is_not_signed_is_refused_with_a_sentence(machine, sent, caplog):
    machine("one", bandsaw.PickleSerializer(), shared_trusted=True)(Task())
    sent()
    for name in ("two", "three"):
        task = Task()
        machine(name, bandsaw.PickleSerializer())(task)
        assert task.executed == 1
    (said,) = [record.getMessage() for record in caplog.records]
    assert "others can write there" in said
    assert "PickleSerializer(key=...)" in said
    task = Task()
    machine("four", bandsaw.PickleSerializer(), shared_trusted=True)(task)
    assert task.executed == 0


@pytest.mark.parametrize("key", [None, b"another key than that of the team"])
def test_what_others_wrote_without_the_key_is_computed_and_replaced(
    machine, key, sent, caplog, tmp_path
):
    machine("one", bandsaw.PickleSerializer(key))(Task("theirs"))
    sent()
    task = Task("ours")
    assert machine("two")(task) == "ours"
    sent()
    assert "task/execution" in caplog.text
    assert "is not used" in caplog.text
    again = Task("ours")
    assert machine("three")(again) == "ours"
    assert (task.executed, again.executed) == (1, 0)


def test_a_store_that_is_signed_with_another_key_is_told_of_once(machine, sent, caplog):
    names = ["first", "second", "third"]
    computed = machine("one", bandsaw.PickleSerializer(b"another key than that of the team"))
    for name in names:
        computed(Task(), name)
    sent()
    looked = machine("two")
    for name in names:
        looked(Task(), name)
    (said,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "the key here" in said.getMessage()


def test_an_error_without_words_is_told_by_its_class(caplog):
    store = SimpleNamespace(url="file:///store")
    shared_store.Store.cannot_use(store, "folder", "name", TimeoutError())
    assert "The entry folder/name is not used: TimeoutError (file:///store)" in caplog.text


@pytest.mark.parametrize("is_signed", [True, False])
def test_files_of_others_are_brought_only_if_they_are_signed(
    machine, is_signed, sent, caplog, monkeypatch, tmp_path
):
    serializer = bandsaw.PickleSerializer(KEY) if is_signed else bandsaw.JsonSerializer()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.txt").write_text("theirs")
    machine("one", serializer)(Task(bandsaw.File("made.txt")))
    sent()
    (tmp_path / "made.txt").write_text("ours")
    task = Task(bandsaw.File("made.txt"))
    machine("two", serializer)(task)
    assert task.executed == (0 if is_signed else 1)
    assert (tmp_path / "made.txt").read_text() == ("theirs" if is_signed else "ours")
    assert ("only if they are signed" in caplog.text) is not is_signed


def test_an_entry_of_others_that_names_a_file_here_is_not_used(machine, sent, caplog, tmp_path):
    """It would have a file of this machine put where the entry says, without any contents."""
    machine("one", bandsaw.JsonSerializer())(Task("theirs"))
    sent()
    path = tmp_path / "team" / "task" / "execution"
    payload = io.BytesIO()
    evil = bandsaw.File(tmp_path / "evil.py", to="workflow.py")
    bandsaw.JsonSerializer().serialize(Result(evil), payload)
    parts = entry.packed(
        entry.ids_of("task", "execution"), entry.read_record(str(path)), [payload.getvalue()]
    )
    path.write_bytes(b"".join(parts))
    assert machine("two", bandsaw.JsonSerializer())(Task("ours")) == "ours"
    assert "only if they are signed" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "folder"])
def test_a_damaged_entry_is_computed_and_replaced(machine, damage, sent, caplog, tmp_path):
    machine("one")(Task())
    machine("one")(Task(2), "other")
    sent()
    path = tmp_path / "team" / "task" / "execution"
    data = path.read_bytes()
    if damage == "other":
        path.write_bytes((path.parent / "other").read_bytes())
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]
        path.write_bytes({"cut": data[:-1], "flipped": flipped, "empty": b""}[damage])
    task = Task()
    assert machine("two")(task) == 1
    assert task.executed == 1
    assert len(caplog.records) == 1
    if damage != "folder":
        sent()
        assert machine("three")(task) == 1
        assert task.executed == 1


def test_of_many_calls_on_one_machine_one_asks_the_store(machine, sent, tmp_path):
    machine("one")(Task())
    sent()
    task, call = Task(), machine("two")
    threads = [threading.Thread(target=call, args=(task,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert task.executed == 0
    assert entries(tmp_path / "two") == ["task/execution"]


@pytest.mark.parametrize(
    ("mode", "executed", "kept"),
    [("off", 1, False), ("refresh", 1, True), ("read-only", 0, False), ("", 0, True)],
)
def test_the_modes_of_a_cache_count_for_the_store(
    machine, sent, monkeypatch, tmp_path, mode, executed, kept
):
    machine("one")(Task("old"))
    sent()
    monkeypatch.setenv("BANDSAW_CACHE", mode)
    task = Task("new")
    assert machine("two")(task) == ("new" if executed else "old")
    sent()
    assert task.executed == executed
    assert entries(tmp_path / "two") == (["task/execution"] if kept else [])
    monkeypatch.delenv("BANDSAW_CACHE")
    assert machine("three")(task) == ("new" if mode == "refresh" else "old")


def test_an_entry_is_as_old_as_its_computation(machine, sent, tmp_path):
    machine("one")(Task())
    sent()
    time.sleep(0.05)
    machine("two")(Task())
    path = tmp_path / "two" / "task" / "execution"
    made = record.read(entry.read_record(str(path))).made
    assert path.stat().st_mtime == pytest.approx(made, abs=0.001)
    task = Task()
    machine("three", max_age=1e-9)(task)
    assert task.executed == 1


def test_the_local_bounds_hold_for_what_comes_from_the_store(machine, sent, tmp_path):
    for name in "abc":
        machine("one")(Task("x" * 4000), name)
    sent()
    call = machine("two", max_bytes=9000)
    for name in "abc":
        task = Task()
        assert call(task, name) == "x" * 4000
        assert task.executed == 0
    assert len(entries(tmp_path / "two")) == 3  # two entries and the note of their sizes


def test_a_store_that_is_away_costs_one_warning_and_no_call(machine, sent, caplog, tmp_path):
    (tmp_path / "team").write_text("no folder")
    call = machine("one")
    for name in "abc":
        assert call(Task(name), name) == name
    # They are given up only when the program ends.
    sent(at_the_end=True)
    warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "shared store" in caplog.text


def test_a_warning_names_no_password(caplog):
    shared_store.Store("sftp://me:secret@127.0.0.1:1/a:b@c").tell("away", "is away")
    assert "sftp://me:****@127.0.0.1:1/a:b@c is away" in caplog.text


def test_what_was_computed_while_the_store_was_away_is_sent_later(
    machine, sent, tmp_path, wait_until
):
    (tmp_path / "team").write_text("no folder")
    call = machine("one")
    for name in "abc":
        call(Task(name), name)
    (store,) = shared_store._stores.values()
    wait_until(lambda: store.sending._pause)
    (tmp_path / "team").unlink()
    sent()
    assert entries(tmp_path / "team") == ["task/a", "task/b", "task/c"]


def test_a_store_that_does_not_answer_is_left_alone(machine, sent, monkeypatch, caplog):
    monkeypatch.setattr(shared_store, "SECONDS_SILENT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        call = machine("one", url=f"ftp://127.0.0.1:{silent.getsockname()[1]}/team")
        for name in "abc":
            assert call(Task(name), name) == name
        silent.settimeout(0)
        accepted = [silent.accept()[0]]
        assert "nothing arrived in 0.2 seconds" in caplog.text
        assert len(caplog.records) == 1
        # Reading was tried once; writing is tried in the background.
        monkeypatch.setattr(shared_sending, "_SECONDS_FOR_ONE", 0.2)
        sent(at_the_end=True)
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.append(silent.accept()[0])
        assert len(accepted) <= 1 + 3
        for connection in accepted:
            connection.close()
    assert len(caplog.records) == 1


def test_a_local_folder_that_cannot_be_written_does_not_keep_from_reading(
    machine, sent, caplog, tmp_path
):
    machine("one")(Task())
    sent()
    (tmp_path / "two").write_text("no folder")
    task = Task()
    assert machine("two")(task) == 1
    assert task.executed == 0


@pytest.mark.parametrize("url", ["/mnt/team", "team", "", "s3:/bucket", 3, b"s3://bucket"])
def test_what_is_no_url_is_an_error(url):
    with pytest.raises(InvalidValueError, match="shared has to be the URL"):
        CachingAdvice("cache", shared=url)


def test_an_unknown_file_system_is_told_when_the_advice_is_made():
    with pytest.raises(InvalidValueError, match="'sfpt://host/path'.*Did you mean 'sftp'"):
        CachingAdvice("cache", shared="sfpt://host/path")


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="the driver is installed")
def test_a_missing_driver_is_one_warning(machine, sent, caplog):
    call = machine("one", url="gs://bucket/path")
    for name in "ab":
        assert call(Task(name), name) == name
    assert len(caplog.records) == 1
    assert "gcsfs" in caplog.text


def test_drivers_are_loaded_when_they_are_used(project):
    project.write(
        "script.py",
        """
        import sys
        from bandsaw.advices.cache import CachingAdvice
        CachingAdvice("cache")
        assert "bandsaw._cache.shared_files" not in sys.modules
        CachingAdvice("cache", shared="file://team")
        assert "fsspec" not in sys.modules and "bandsaw._cache.shared" not in sys.modules
        """,
    )
    project.run("script.py")


CONFIGURATION = """
    import os, bandsaw
    from bandsaw.advices.cache import CachingAdvice
    from bandsaw.advices.subprocess import SubprocessAdvice
    cache = CachingAdvice(os.environ["LOCAL"], shared={url!r})
    configuration = bandsaw.Configuration().add_advice_chain({chain})
    configuration.set_serializer(bandsaw.PickleSerializer(b"a key of the whole team"))
    """
FLOW = """
    import os
    import bandsaw

    @bandsaw.task
    def square(number):
        with open("computed", "a") as file:
            print(number, file=file)
        return number * number

    if __name__ == "__main__":
        print([square(number) for number in range(5)])
    """
CHAINS = {
    "here": "cache",
    "in an own process": "SubprocessAdvice(), cache",
    "in a kept process": "SubprocessAdvice(workers=1), cache",
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_relative_store_is_the_same_wherever_the_cache_is(project, chain, tmp_path):
    text = CONFIGURATION.format(url="file://team", chain=CHAINS[chain])
    project.write("bandsaw_config.py", text)
    project.write("flow.py", FLOW)
    for local in ("one", "two"):
        done = project.run("flow.py", LOCAL=str(tmp_path / local))
        assert done.stdout.strip() == "[0, 1, 4, 9, 16]"
        assert done.stderr == ""
    assert len(entries(project.folder / "team")) == 5
    assert len((project.folder / "computed").read_text().split()) == 5
    assert len(entries(tmp_path / "two")) == 5


@pytest.mark.parametrize("problem", ["away", "refused"])
def test_processes_of_calls_warn_once_together(project, problem, tmp_path):
    text = CONFIGURATION.format(url="file://team", chain=CHAINS["in an own process"])
    if problem == "refused":
        text = text.replace('b"a key of the whole team"', "")
    else:
        (project.folder / "team").write_text("no folder")
    project.write("bandsaw_config.py", text)
    project.write("flow.py", FLOW)
    home = str(tmp_path / "home")
    done = project.run("flow.py", LOCAL=str(tmp_path / "one"), BANDSAW_HOME=home)
    assert done.stdout.strip() == "[0, 1, 4, 9, 16]"
    assert done.stderr.count("The shared store") == 1


def test_processes_that_are_forked_use_the_store_on_their_own(project, tmp_path):
    text = CONFIGURATION.format(url="file://team", chain="cache")
    project.write("bandsaw_config.py", text)
    project.write(
        "forks.py",
        """
        import multiprocessing
        from flow import square

        if __name__ == "__main__":
            square(100)
            context = multiprocessing.get_context("fork")
            processes = [
                context.Process(target=square, args=(number,)) for number in range(4)
            ]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
                assert process.exitcode == 0
        """,
    )
    project.write("flow.py", FLOW)
    done = project.run("-W", "ignore::DeprecationWarning", "forks.py", LOCAL=str(tmp_path / "one"))
    assert done.stderr == ""
    assert len(entries(project.folder / "team")) == 5


@pytest.fixture
def team(project, tmp_path):
    """A project whose store has some entries of two states of its code."""
    text = CONFIGURATION.format(url="file://team", chain="cache")
    project.write("bandsaw_config.py", text)
    variables = {"LOCAL": str(tmp_path / "one")}
    for power in ("number ** 3", "number * number"):
        project.write("flow.py", FLOW.replace("number * number", power))
        project.run("flow.py", **variables)
    project.cache = lambda *words, check=True: project.run(
        "-m", "bandsaw", "cache", *words, check=check, **variables
    )
    return project


URL = "file://team"


@pytest.mark.slow
def test_the_commands_list_and_verify_a_store(team):
    listed = team.cache("ls", URL).stdout
    assert listed.count("flow.square") == 10
    assert "10 entries" in listed
    assert "number=4" in listed
    rows = json.loads(team.cache("ls", URL, "--json").stdout)
    assert {row["path"] for row in rows} == {
        f"file://{team.folder}/team/{row['entry']}" for row in rows
    }
    shown = team.cache("show", "--directory", URL, rows[0]["entry"]).stdout
    assert "state: intact" in shown
    assert team.cache("verify", URL).stdout == "10 entries, 0 damaged\n"
    path = team.folder / "team" / rows[3]["entry"]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found = team.cache("verify", URL, check=False)
    assert found.returncode == 1
    assert f"{rows[3]['path']}: the digest of its contents is another one" in found.stdout
    assert "10 entries, 1 damaged, removed" in team.cache("verify", URL, "--rm").stdout
    assert len(entries(team.folder / "team")) == 9
    assert team.left_behind() == []


def test_the_commands_explain_an_entry_of_a_store_and_a_call(team):
    rows = json.loads(team.cache("ls", URL, "--json").stdout)
    told = team.cache("explain", URL, rows[0]["entry"]).stdout
    assert f"is file://{team.folder}/team/" in told
    assert "the task `square` in `flow.py` changed" in told or "argument `number`" in told
    assert "the store has an entry" in team.cache("explain", URL, "flow.square", "4").stdout
    told = team.cache("explain", URL, "flow.square", "40").stdout
    assert "there is no entry for this code and these arguments" in told
    assert "argument `number`: 40, was" in told
    assert f"The nearest entry is file://{team.folder}/team/" in told
    for call, said in (
        (["flow.square"], "flow.square cannot be called like this: missing a required argument"),
        (["flow.bandsaw", "1"], "error: explain() takes a function decorated with @task"),
    ):
        done = team.cache("explain", URL, *call, check=False)
        assert done.returncode == 1
        assert (done.stdout + done.stderr).startswith(said)


def test_a_store_is_pruned_while_somebody_else_prunes_it(machine, sent, tmp_path, monkeypatch):
    machine("one")(Task())
    sent()
    listing = Listing(f"file://{tmp_path / 'team'}")
    found = listing.found()
    listing.remove(found[0][0])
    monkeypatch.setattr(listing, "found", lambda: found)
    assert listing.prune(max_bytes=1).entries == 0


def test_the_commands_prune_the_stores_of_a_configuration(team):
    store, number = team.folder / "team", 10
    foreign = [store / "notes.txt", store / "0123456789abcdef" / "0123456789abcdef"]
    foreign[1].parent.mkdir()
    left = store / "0123456789abcdef" / ".0123.0123.tmp"
    for path in (*foreign, left):
        path.write_text("nothing of ours")
        os.utime(path, (1, 1))
    newest = sorted(entries(store), key=lambda name: (store / name).stat().st_mtime)[-1]
    size = (store / newest).stat().st_size
    done = team.cache("prune", "--shared", "--max-bytes", str(4 * size + size // 2))
    assert f"removed {number - 4} entries and 1 abandoned files" in done.stdout
    assert (store / newest).exists()
    assert all(path.exists() for path in foreign)
    assert not left.exists()
    assert len(entries(store)) == 4 + len(foreign)
    team.cache("prune", "--directory", URL, "--max-age", "1s", "--max-bytes", "1")
    assert len(entries(store)) == len(foreign)
    assert len(entries(team.folder.parent / "one")) == number


def test_a_store_that_is_away_is_an_error_of_a_command(team):
    done = team.cache("ls", "ftp://127.0.0.1:1/path", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The store ftp://127.0.0.1:1/path cannot be looked at")
    assert "0 entries" in team.cache("ls", "file://nothing-yet").stdout


RICH = """
    import dataclasses
    import datetime
    import bandsaw
    from lib.numbers import SCALE, Shape, scaled

    @dataclasses.dataclass
    class Options:
        names: list
        rate: float = 0.5

    @bandsaw.task
    def area(shape, options, *more, when=None, **others):
        with open("computed", "a") as file:
            print("area", file=file)
        kinds = {name: [index for index in range(3) if index] for name in options.names}
        return f"{scaled(shape.width) * SCALE:.1f} {sorted(kinds)} {when} {more} {sorted(others)}"

    if __name__ == "__main__":
        options = Options(["a", "b"], 0.25)
        when = datetime.datetime(2024, 2, 29, 12)
        print(area(Shape(2, 3), options, {1, 2, 3}, ("x", None, b"y"), when=when, z={"k": 1 + 2j}))
        print(area(Shape(2, 4), options, frozenset(["p", "q"]), 2**80))
    """
LIBRARY = """
    import enum

    SCALE = 1.5

    class Unit(enum.Enum):
        METRE = 1

    class Shape:
        def __init__(self, width, height, unit=Unit.METRE):
            self.width, self.height, self.unit = width, height, unit

        @property
        def size(self):
            return self.width * self.height

    def scaled(width, *, by=2):
        try:
            return width * by if width else 0
        except TypeError as error:
            raise ValueError(f"{width!r} is no number") from error
    """


def checkout_of(project, folder, text):
    """Makes a checkout of the workflow in another folder."""
    folder.mkdir(parents=True)
    checkout = type(project)(folder, project.temporary)
    checkout.write("bandsaw_config.py", text)
    checkout.write("flow.py", RICH)
    checkout.write("lib/numbers.py", LIBRARY)
    checkout.write("lib/__init__.py", "")
    return checkout


@pytest.mark.slow
def test_checkouts_elsewhere_and_other_pythons_share_one_store(project, pythons, tmp_path):
    fsspec = tmp_path / "site"
    fsspec.mkdir()
    (fsspec / "fsspec").symlink_to(Path(importlib.util.find_spec("fsspec").origin).parent)
    text = CONFIGURATION.format(url=f"file://{tmp_path / 'team'}", chain="cache")
    shared, lists = [], {}
    for version, python in {**pythons, "this": sys.executable}.items():
        folder = tmp_path / f"of {version}" / "deep" / "checkout"
        checkout = checkout_of(project, folder, text)
        path = checkout.environment(path=[str(fsspec)])["PYTHONPATH"]
        variables = {"PYTHONPATH": path, "LOCAL": "local", "HOME": str(folder), "USER": "somebody"}
        checkout.run("flow.py", python=python, **variables)
        lists[version] = entries(folder / "local")
        # The newest fsspec does not run on the oldest Python; that one has the same ids.
        if not checkout.run(
            "-c", "import fsspec.core", python=python, check=False, **variables
        ).returncode:
            shared.append(folder)
    assert len(lists["this"]) == 2
    assert set(map(tuple, lists.values())) == {tuple(lists["this"])}
    assert [(folder / "computed").exists() for folder in shared] == [True] + [False] * (
        len(shared) - 1
    )


@pytest.fixture
def nobody(other_python):
    """A folder that all may read, and what runs another Python in it as another account."""
    if getattr(os, "geteuid", int)() or not all(map(shutil.which, ("runuser", "mount"))):
        pytest.skip("only root can run something as another account")
    prefix = [
        other_python,
        "-c",
        "import sys; print(sys.base_prefix); print(*sys.version_info[:2])",
    ]
    words = subprocess.run(prefix, capture_output=True, text=True, check=True).stdout.splitlines()
    folder = Path(tempfile.mkdtemp(prefix="bandsaw-team-"))
    folder.chmod(0o755)
    # The account may not enter the home of this one, where Python is.
    (folder / "python").mkdir()
    mount = ["mount", "-o", "bind,ro", words[0], folder / "python"]
    done = subprocess.run(mount, capture_output=True, text=True)
    try:
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        python = folder / "python" / "bin" / f"python{words[1].replace(' ', '.')}"

        def run(*command):
            libraries = f"LD_LIBRARY_PATH={folder / 'python' / 'lib'}"
            return ["runuser", "-u", "nobody", "--", "env", libraries, *command]

        asked = subprocess.run(run(python, "-c", "pass"), capture_output=True, text=True)
        if asked.returncode:
            pytest.skip(f"no other account can run Python here: {asked.stderr.strip()}")
        yield folder, lambda *command: run(python, *command)
    finally:
        if not done.returncode:
            subprocess.run(["umount", "--lazy", folder / "python"], check=True)
        shutil.rmtree(folder)


@pytest.mark.parametrize("first", ["mine", pytest.param("theirs", marks=pytest.mark.slow)])
def test_another_account_with_another_python_finds_what_this_one_computed(project, nobody, first):
    base, theirs = nobody
    team = base / "team"
    team.mkdir()
    team.chmod(0o777)
    shutil.copytree(ROOT / "bandsaw", base / "code" / "bandsaw")
    found = Path(importlib.util.find_spec("fsspec").origin).parent
    shutil.copytree(found, base / "code" / "fsspec")
    text = CONFIGURATION.format(url=f"file://{team}", chain="cache")
    outputs = {}
    for who in (first, "theirs" if first == "mine" else "mine"):
        folder = base / who / "checkout"
        checkout = checkout_of(project, folder, text)
        if who == "mine":
            outputs[who] = checkout.run("flow.py", LOCAL="local").stdout
        else:
            shutil.chown(folder, "nobody")
            variables = {"PYTHONPATH": str(base / "code"), "LOCAL": "local", "HOME": str(folder)}
            variables["PATH"] = os.environ["PATH"]
            done = subprocess.run(
                theirs("flow.py"), cwd=folder, env=variables, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            outputs[who] = done.stdout
            assert (folder / "local").owner() == "nobody"
        assert (folder / "computed").exists() == (who == first)
    assert outputs["mine"] == outputs["theirs"]
    assert entries(base / "mine" / "checkout" / "local") == entries(
        base / "theirs" / "checkout" / "local"
    )


def mapping_of(array):
    """The innermost thing that holds the memory of an array."""
    while array.base is not None:
        array = array.base
        if isinstance(array, memoryview):
            return array.obj
    return array


def test_a_large_result_from_the_store_is_mapped_from_the_local_file(machine, sent, tmp_path):
    numpy = pytest.importorskip("numpy")
    machine("one")(Task(numpy.arange(1_000_000)))
    sent()
    call, task = machine("two", mmap=True), Task()
    first = call(task)
    inode = (tmp_path / "two" / "task" / "execution").stat().st_ino
    shutil.rmtree(tmp_path / "team")
    second = call(task)
    assert task.executed == 0
    for array in (first, second):
        assert isinstance(mapping_of(array), mmap.mmap)
        assert not array.flags.writeable
        assert array.sum() == numpy.arange(1_000_000).sum()
    if sys.platform == "linux":
        # Both are the pages of one file, the local one.
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped = [line.split() for line in lines if line.endswith("two/task/execution")]
        assert [int(words[4]) for words in mapped] == [inode, inode]
