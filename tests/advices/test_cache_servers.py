"""Stores that a team shares on real servers, and on file systems that fail."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bandsaw._cache.shared_files import StoreFiles
from tests.conftest import ROOT
from tests.stores import S3, Google, Sftp, lacks

# One worker starts the servers.
pytestmark = pytest.mark.xdist_group("shared-servers")
CONFIGURATION = """
    import os, bandsaw
    from bandsaw.advices.cache import CachingAdvice
    from bandsaw.advices.subprocess import SubprocessAdvice
    cache = CachingAdvice(os.environ["LOCAL"], shared=os.environ["STORE"])
    crossing = SubprocessAdvice(**eval(os.environ.get("CROSSING", "{}")))
    chain = [crossing, cache] if "CROSSING" in os.environ else [cache]
    configuration = bandsaw.Configuration().add_advice_chain(*chain)
    configuration.set_serializer(bandsaw.PickleSerializer(b"a key of the whole team"))
    """
FLOW = """
    import sys
    import bandsaw
    from bandsaw._cache import shared

    shared.SECONDS_SILENT = 60.0

    @bandsaw.task
    def square(number):
        with open("computed", "a") as file:
            print(number, file=file)
        return number * number

    if __name__ == "__main__":
        print([square(int(number)) for number in sys.argv[1:]])
    """

STEPS = """
    import os, sys
    from bandsaw._cache import shared
    from flow import square
    # To import a driver takes its time on a busy machine.
    shared.SECONDS_SILENT = 60.0
    for line in sys.stdin:
        print(square(int(line)), flush=True)
        shared.SECONDS_SILENT = float(os.environ.get("SILENT", "5"))
    """


def step(process, number):
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    assert int(process.stdout.readline()) == number**2


def warnings_in(text):
    """The lines that are ours; drivers say things of their own."""
    return [line for line in text.splitlines() if line.startswith("The shared store")]


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    if lacks("fsspec", "s3fs", "moto", "flask"):
        pytest.skip(lacks("fsspec", "s3fs", "moto", "flask"))
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def google(tmp_path_factory):
    if lacks("fsspec", "gcsfs", "gcp_storage_emulator"):
        pytest.skip(lacks("fsspec", "gcsfs", "gcp_storage_emulator"))
    with Google(tmp_path_factory.mktemp("google")) as server:
        yield server


@pytest.fixture(scope="module")
def sftp(sshd_module, tmp_path_factory):
    if lacks("fsspec", "paramiko"):
        pytest.skip(lacks("fsspec", "paramiko"))
    with Sftp(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(params=["s3", "sftp"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["s3", "google"])
def objects(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["s3", "google", "sftp"])
def any_server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def flow(project, tmp_path):
    """Runs a workflow as on a machine of its own, and returns what it says."""
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("flow.py", FLOW)
    project.write("steps.py", STEPS)

    def flow(machine, store, variables, *numbers):
        done = project.run(
            "flow.py", *numbers, LOCAL=str(tmp_path / machine), STORE=store, **variables
        )
        assert done.stdout.strip() == str([int(number) ** 2 for number in numbers])
        return done.stderr

    flow.begin = lambda machine, store, variables: subprocess.Popen(
        [sys.executable, "steps.py"],
        cwd=project.folder,
        env=project.environment(LOCAL=str(tmp_path / machine), STORE=store, **variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    flow.computed = lambda: len((project.folder / "computed").read_text().split())
    return flow


def test_what_one_machine_computed_another_one_finds_on_a_server(flow, any_server):
    for machine in ("one", "two"):
        assert flow(machine, f"{any_server.url}/found", any_server.variables, "1", "2", "3") == ""
        assert flow.computed() == 3
    assert flow("two", "file:///nowhere", {}, "1", "2", "3") == ""
    assert flow.computed() == 3


@pytest.mark.parametrize("crossing", ["{}", '{"workers": 1}'], ids=["own", "kept"])
def test_processes_of_tasks_use_a_server_on_their_own(flow, server, crossing):
    variables = {**server.variables, "CROSSING": crossing}
    for machine in ("one", "two"):
        assert flow(machine, f"{server.url}/{len(crossing)}", variables, "1", "2") == ""
        assert flow.computed() == 2


def test_processes_that_are_forked_use_a_server_on_their_own(flow, server, project, tmp_path):
    project.write(
        "forks.py",
        """
        import multiprocessing
        from flow import square

        if __name__ == "__main__":
            square(100)
            context = multiprocessing.get_context("fork")
            processes = [context.Process(target=square, args=(number,)) for number in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join(200)
                assert process.exitcode == 0
            square(101)
        """,
    )
    store, variables = f"{server.url}/forked", server.variables
    done = project.run(
        *("-W", "ignore::DeprecationWarning", "forks.py"),
        **variables, STORE=store, LOCAL=str(tmp_path / "one"),
    )  # fmt: skip
    assert done.stderr == ""
    assert flow("two", store, variables, "100", "0", "1", "2", "101") == ""
    assert flow.computed() == 5


def test_what_is_computed_when_the_script_is_over_is_sent(flow, server, project, tmp_path):
    project.write(
        "late.py",
        """
        import time
        from bandsaw import task

        @task
        def late(number):
            time.sleep(0.3)
            with open("computed", "a") as file:
                print(number, file=file)
            return number

        if __name__ == "__main__":
            futures = [late.submit(number) for number in range(3)]
        """,
    )
    # A name, which drivers look up in another thread.
    variables = {
        name: value.replace("127.0.0.1", "localhost") for name, value in server.variables.items()
    }
    store = f"{server.url}/late".replace("127.0.0.1", "localhost")
    for machine in ("one", "two"):
        local = str(tmp_path / machine)
        done = project.run("late.py", **variables, STORE=store, LOCAL=local)
        assert warnings_in(done.stderr) == []
        assert flow.computed() == 3


def test_a_hit_is_one_request_and_a_miss_one_more(flow, objects):
    def requests(machine):
        before = len(objects.requests())
        assert flow(machine, f"{objects.url}/counted", objects.variables, "1", "2") == ""
        return sorted(objects.requests()[before:])

    put = "PUT" if objects.scheme == "s3" else "POST"
    missed = requests("one")
    assert [(method, status) for method, _, status in missed] == [("GET", 404)] * 2 + [
        (put, 200)
    ] * 2
    keys = [key for method, key, _ in missed if method == "GET"]
    assert len(set(keys)) == 2
    if put == "PUT":
        assert keys == [key for method, key, _ in missed if method == put]
    assert requests("two") == [("GET", key, 200) for key in keys]


def test_a_server_that_is_killed_and_restarted_costs_one_warning_and_no_entry(flow, any_server):
    server = any_server
    store = f"{server.url}/restarted"
    with flow.begin("one", store, server.variables) as process:
        step(process, 1)
        server.kill()
        step(process, 2)
        step(process, 3)
        server.start()
        step(process, 4)
        told = process.communicate(timeout=300)[1]
    assert len(warnings_in(told)) == 1
    # What a server of objects holds goes with it.
    kept = ["1", "2", "3", "4"] if "sftp" in store else ["2", "3", "4"]
    assert flow("two", store, server.variables, *kept) == ""
    assert flow.computed() == 4


def test_a_server_that_is_gone_keeps_no_program_from_ending(flow, server):
    with flow.begin("one", f"{server.url}/gone", server.variables) as process:
        step(process, 1)
        server.kill()
        try:
            begun = time.monotonic()
            for number in range(2, 6):
                step(process, number)
            told = process.communicate(timeout=300)[1]
            assert time.monotonic() - begun < 100
        finally:
            server.start()
    assert process.returncode == 0
    assert len(warnings_in(told)) == 1


def test_a_server_that_stops_answering_is_left_alone(flow, server):
    with flow.begin("one", f"{server.url}/paused", server.variables) as process:
        step(process, 1)
        server.pause()
        try:
            for number in range(2, 6):
                step(process, number)
        finally:
            server.pause(signal.SIGCONT)
        told = process.communicate(timeout=300)[1]
    assert len(warnings_in(told)) == 1


def test_a_server_that_is_slow_is_waited_for(flow, server):
    store = f"{server.url}/slow"
    flow("one", store, server.variables, "1", "2")
    # It may be slower than it is made here.
    with flow.begin("two", store, {**server.variables, "SILENT": "60"}) as process:
        step(process, 1)
        server.pause()
        timer = threading.Timer(1.0, server.pause, (signal.SIGCONT,))
        timer.start()
        step(process, 2)
        timer.join()
        assert process.communicate(timeout=300)[1] == ""
    assert flow.computed() == 2


def test_the_commands_work_on_a_server(flow, any_server, project, tmp_path):
    server = any_server
    store = f"{server.url}/listed"
    flow("one", store, server.variables, "1", "2")
    variables = {**server.variables, "STORE": store, "LOCAL": str(tmp_path / "one")}

    def cache(*words):
        return project.run("-m", "bandsaw", "cache", *words, **variables).stdout

    assert "2 entries" in cache("ls", store)
    assert f"{store}/" in cache("ls", store, "--json")
    assert cache("verify", store) == "2 entries, 0 damaged\n"
    assert "argument `number`: 3, was" in cache("explain", store, "flow.square", "3")
    assert "removed 2 entries" in cache("prune", "--shared", "--max-bytes", "1")
    assert "0 entries" in cache("ls", store)


def test_an_entry_whose_sender_is_killed_is_absent(flow, sftp, project, tmp_path, wait_until):
    project.write(
        "large.py",
        """
        import bandsaw

        @bandsaw.task
        def large():
            return bytes(100_000_000)

        if __name__ == "__main__":
            print(len(large()))
        """,
    )
    variables = {**sftp.variables, "STORE": f"{sftp.url}/large", "LOCAL": str(tmp_path / "one")}
    environment = project.environment(**variables)
    folder = Path(sftp.url[sftp.url.index("/", len("sftp://")) :]) / "large"
    process = subprocess.Popen([sys.executable, "large.py"], cwd=project.folder, env=environment)
    with process:
        wait_until(lambda: any(path.is_file() for path in folder.rglob("*")))
        process.kill()
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name.startswith(".") for path in found] == [True]
    listing = ("-m", "bandsaw", "cache", "ls", variables["STORE"])
    assert "0 entries" in project.run(*listing, **variables).stdout
    # What was left behind goes when it is old.
    os.utime(found[0], (1, 1))
    pruned = project.run("-m", "bandsaw", "cache", "prune", "--shared", **variables).stdout
    assert "removed 0 entries and 1 abandoned files" in pruned
    variables["LOCAL"] = str(tmp_path / "two")
    assert project.run("large.py", **variables).stdout == "100000000\n"
    assert "1 entry" in project.run(*listing, **variables).stdout


def test_four_processes_lose_nothing_while_the_server_is_killed_and_restarted(sftp):
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.cache_shared", "--seconds", "5", "--seed", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "servers killed" in done.stdout


def test_entries_that_make_the_same_folders_at_once_are_all_sent(sftp, tmp_path, monkeypatch):
    from fsspec import config

    key = sftp.variables["FSSPEC_SFTP_KEY_FILENAME"]
    monkeypatch.setitem(config.conf, "sftp", {"key_filename": key})
    entry = tmp_path / "entry"
    entry.write_bytes(b"an entry")
    store = StoreFiles(f"{sftp.url}/a/store/that/is/new")
    names = [f"{number}" for number in range(4)]
    begin = threading.Barrier(len(names))

    def send(name):
        try:
            for folder in range(10):
                begin.wait(60)
                store.put(str(entry), f"{folder}/{name}")
        except BaseException:
            begin.abort()
            raise

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(send, names))
    for folder in range(10):
        for name in names:
            store.get(f"{folder}/{name}", str(tmp_path / "copy"))
            assert (tmp_path / "copy").read_bytes() == b"an entry"


@pytest.fixture
def small(tmp_path):
    """A file system of a few kilobytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount file systems")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_folder_that_takes_nothing_costs_one_warning_and_is_read(flow, small, state):
    store = f"file://{small}"
    assert flow("one", store, {}, "1") == ""
    if state == "full":
        with (small / "rest").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
    else:
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    told = flow("two", store, {}, "1", "2", "3")
    assert len(warnings_in(told)) == 1
    assert {"full": "No space left", "read-only": "Read-only"}[state] in told
    assert flow.computed() == 3
    found = [path.name for path in small.rglob("*") if path.is_file() and path.name != "rest"]
    assert len(found) == 1


@pytest.mark.slow
def test_a_folder_that_is_slow_is_waited_for(flow, project, tmp_path):
    if not shutil.which("strace"):
        pytest.skip("there is no strace here, which makes a folder slow")
    # By these a file is copied into a store and out of it.
    copies = "sendfile,copy_file_range"
    slow = [f"-etrace={copies}", f"-einject={copies}:delay_enter=700000"]
    for machine in ("one", "two"):
        variables = {"STORE": f"file://{tmp_path / 'team'}", "LOCAL": str(tmp_path / machine)}
        begun = time.monotonic()
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", str(tmp_path / "calls"), *slow, sys.executable,
             "flow.py", "1", "2"],
            cwd=project.folder, env=project.environment(**variables),
            capture_output=True, text=True,
        )  # fmt: skip
        if "ptrace" in done.stderr:
            pytest.skip("processes may not be traced here")
        assert (done.stdout, done.stderr) == ("[1, 4]\n", "")
        assert time.monotonic() - begun > 1.4
        assert "DELAYED" in (tmp_path / "calls").read_text()
    assert flow.computed() == 2
