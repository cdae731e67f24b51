"""Stores that a team shares on real servers, and on file systems that fail."""

import pytest

from tests.conftest import lacking
from tests.stores import S3, lacks

NEED = lacks("fsspec", "s3fs", "moto", "flask")
CONFIGURATION = """
    import os, bandsaw
    from bandsaw.advices.cache import CachingAdvice
    cache = CachingAdvice(os.environ["LOCAL"], shared=os.environ["STORE"])
    configuration = bandsaw.Configuration().add_advice_chain(cache)
    configuration.set_serializer(bandsaw.PickleSerializer(b"a key of the whole team"))
    """
FLOW = """
    import sys
    import bandsaw

    @bandsaw.task
    def square(number):
        with open("computed", "a") as file:
            print(number, file=file)
        return number * number

    if __name__ == "__main__":
        print([square(int(number)) for number in sys.argv[1:]])
    """


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    if NEED:
        pytest.skip(NEED)
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def sftp(sshd_module):
    if lacks("fsspec", "paramiko"):
        pytest.skip(lacks("fsspec", "paramiko"))
    try:
        # Not the one of the other tests, whose exchange of keys paramiko lacks.
        server = sshd_module.Server()
    except sshd_module.NotInstalledError as error:
        lacking(str(error))
    with server:
        yield server


@pytest.fixture(params=["s3", "sftp"])
def store(request, tmp_path):
    """A URL, and what a process needs to reach it."""
    server = request.getfixturevalue(request.param)
    if request.param == "s3":
        return f"{server.url}/{tmp_path.name}", server.variables
    url = f"sftp://{server.user}@127.0.0.1:{server.port}{tmp_path / 'store'}"
    return url, {"FSSPEC_SFTP_KEY_FILENAME": str(server.key_file)}


@pytest.fixture
def flow(project, tmp_path):
    """Runs a workflow as on a machine of its own."""
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("flow.py", FLOW)

    def flow(machine, store, variables, *numbers):
        done = project.run(
            "flow.py", *numbers, LOCAL=str(tmp_path / machine), STORE=store, **variables
        )
        assert done.stdout.strip() == str([int(number) ** 2 for number in numbers])
        return done.stderr

    flow.computed = lambda: len((project.folder / "computed").read_text().split())
    return flow


def test_what_one_machine_computed_another_one_finds_on_a_server(flow, store):
    for machine in ("one", "two"):
        assert flow(machine, *store, "1", "2", "3") == ""
        assert flow.computed() == 3
    assert flow("two", "file:///nowhere", {}, "1", "2", "3") == ""
    assert flow.computed() == 3


def test_a_hit_is_one_request_and_a_miss_one_more(flow, s3):
    before = len(s3.requests())
    flow("one", f"{s3.url}/counted", s3.variables, "1", "2")
    missed = s3.requests()[before:]
    keys = [key for method, key, status in missed if method == "PUT" and status == 200]
    assert len(set(keys)) == 2
    assert sorted(missed) == sorted(
        [("GET", key, 404) for key in keys] + [("PUT", key, 200) for key in keys]
    )
    before += len(missed)
    flow("two", f"{s3.url}/counted", s3.variables, "1", "2")
    assert sorted(s3.requests()[before:]) == sorted([("GET", key, 200) for key in keys])
