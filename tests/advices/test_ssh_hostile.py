"""Hostile texts: each is refused, or arrives as it is, and no shell ever executes any of it."""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

import bandsaw
from bandsaw._archive import keep
from bandsaw._workers.ssh import ssh_connection
from bandsaw.advices.ssh import Remote, SshCommandLineBackend
from bandsaw.errors import InvalidValueError
from tests.conftest import coverage_variables, lacking
from tests.faults import ssh_configuration, ssh_hostile, ssh_server, ssh_tasks

pytestmark = [pytest.mark.xdist_group("hostile texts over SSH"), pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def no_coverage():
    """Here thousands of processes are started that do little, and names of folders are odd."""
    with pytest.MonkeyPatch.context() as patched:
        for name in coverage_variables():
            patched.delenv(name)
        yield


_COUNT = 10_000
_SHELLS = ["sh", "bash", "zsh", "ksh", "fish", "tcsh"]
# Without these, which are refused nearly everywhere, the rest is seen to be taken care of.
_CONTROL = "".join(map(chr, (*range(32), 127, 0x85, 0xA0, 0x2028, 0x202E, 0xFEFF, 0xDC80, 0xD800)))


def texts(seed):
    """Half of them have no control characters, which are refused nearly everywhere."""
    found = ssh_hostile.texts(seed, _COUNT)
    return found[: _COUNT // 2] + ssh_hostile.without(found[_COUNT // 2 :], _CONTROL)


def command_of(**given):
    """Returns the command line, `None` if what was given is refused."""
    executable = given.pop("executable", "python3")
    try:
        interpreter = bandsaw.Interpreter(executable=executable)
        remote = Remote(interpreter=interpreter, **{"host": "host", **given})
        return SshCommandLineBackend().connection_command(remote, executable)
    except InvalidValueError:
        return None


def can_be_encoded(text):
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return "\0" not in text


PLAIN = command_of()


def is_literal(name, text, command):
    """Whether a text is one argument, in its place, and all the others are as without it."""
    options, end = PLAIN[:-3], PLAIN[-3:]
    return (
        command
        == {
            "host": [*options, "--", text, end[-1]],
            "user": [*options, "-l", text, *end],
            "key_file": [*options, "-i", os.path.expanduser(text), *end],
            "option": [*options, "-o", f"LogLevel={text}", *end],
            "option name": [*options, "-o", f"{text}=x", *end],
        }[name]
    )


GIVEN = {
    "host": lambda text: {"host": text},
    "user": lambda text: {"user": text},
    "key_file": lambda text: {"key_file": text},
    "option": lambda text: {"options": {"LogLevel": text}},
    "option name": lambda text: {"options": {text: "x"}},
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_not_refused_is_one_argument_of_ssh(name):
    taken = []
    for text in texts(name):
        command = command_of(**GIVEN[name](text))
        if command is not None:
            assert is_literal(name, text, command), (name, text)
            assert can_be_encoded(text), (name, text)
            assert not text.startswith("-") or name in ("key_file", "option"), (name, text)
            taken.append(text)
    # If all were refused, this would prove nothing.
    assert len(taken) > (100 if name != "option name" else 0), len(taken)


RECORDER = """#!/bin/sh
{ for word; do printf '%s\\0' "$word"; done; printf '\\1\\0'; } >>"$RECORD"
"""


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """Runs a command a number of times, and returns the arguments of each time."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    path = tmp_path / "bin" / "recorder"
    path.parent.mkdir()
    path.write_text(RECORDER)
    path.chmod(0o700)
    return path


def recorded(path):
    """Returns the recorded argument lists, and forgets them."""
    record = path.parent.parent / "record"
    found = record.read_bytes().split(b"\1\0")
    record.unlink()
    assert found.pop() == b""
    return [[os.fsdecode(word) for word in words.split(b"\0")[:-1]] for words in found]


def test_a_real_ssh_process_gets_what_was_given(recorder, monkeypatch):
    """Through a program of the name `ssh`, started as a connection is."""
    shutil.copy(recorder, recorder.parent / "ssh")
    monkeypatch.setenv("PATH", f"{recorder.parent}{os.pathsep}{os.environ['PATH']}")
    expected = []
    for name, given in GIVEN.items():
        for text in ssh_hostile.texts(f"process {name}", 400):
            command = command_of(**given(text))
            if command is not None and can_be_encoded(text):
                subprocess.run(command, check=True)
                expected.append(command[1:])
    assert len(expected) > 100
    assert recorded(recorder) == expected
    assert os.listdir() == []


def test_ssh_itself_reads_no_option_out_of_a_name(recorder):
    if shutil.which("ssh") is None:
        lacking("ssh is not installed")
    for name in ("host", "user"):
        for text in ssh_hostile.without(ssh_hostile.texts(f"ssh {name}", 300), _CONTROL):
            command = command_of(**GIVEN[name](text))
            if command is None:
                continue
            done = subprocess.run(
                [command[0], "-G", "-F", "none", *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="surrogateescape",
            )
            # It refuses more than we do.
            if done.returncode == 0:
                lines = done.stdout.splitlines()
                assert "batchmode yes" in lines
                assert not any(line.startswith("proxycommand") for line in lines)
                assert "permitlocalcommand no" in lines
    assert os.listdir() == []


def lines_of(seed, prefix=""):
    """Returns the executables that are not refused, with what their remote shell is given."""
    found = []
    for text in texts(seed):
        command = command_of(executable=prefix + text)
        if command is not None:
            found.append((prefix + text, command[-1]))
    return found


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "ksh"])
def test_an_interpreter_is_one_word_for_a_real_shell(shell, recorder, tmp_path):
    """All lines in one process, with the word `exec` replaced by what records the words."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    found = lines_of("executable")
    assert len(found) > _COUNT // 3
    lines = [line.partition("exec ")[2] for _, line in found]
    script = tmp_path / "script"
    # What is not closed in one line shows in the next one.
    text = "record() { printf '%s\\0' \"$@\"; printf '\\1\\0'; }\n"
    text += f"exec >'{tmp_path / 'record'}'\n" + "".join(f"record {line}\n" for line in lines)
    script.write_bytes(text.encode())
    done = subprocess.run([shell, script], stdin=subprocess.DEVNULL, capture_output=True)
    assert os.listdir() == []
    rest = command_of()[-1].partition("'")[2].rpartition("'")[0]
    assert recorded(recorder) == [[executable, "-u", "-c", rest] for executable, _ in found]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", _SHELLS)
def test_no_real_login_shell_executes_any_of_it(shell, recorder):
    """As `sshd` has it run: by `SHELL -c LINE`. Quotes and backslashes are what differs most."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    generator = random.Random(f"quotes {shell}")
    pieces = ["\\", "'", '"', "\\'", ";touch canary;", "#", "x", "!", "$(touch canary)", " ", "="]
    found = lines_of(f"login {shell}")[::40]
    for _ in range(400):
        executable = "".join(generator.choices(pieces, k=generator.randrange(2, 9)))
        command = command_of(executable=executable)
        if command is not None:
            found.append((executable, command[-1]))
    executed = []
    for executable, line in found:
        # None of them exists: all is well if none is found.
        subprocess.run([shell, "-c", line], stdin=subprocess.DEVNULL, capture_output=True)
        if os.listdir():
            executed.append(executable)
            for name in os.listdir():
                os.unlink(name)
    assert executed == []
    assert len(found) > 150


@pytest.mark.parametrize("shell", _SHELLS)
def test_an_interpreter_is_what_a_real_login_shell_executes(shell, recorder, tmp_path):
    """The same, with a file of that very name."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path / "odd"
    folder.mkdir()
    taken, failed = 0, []
    for executable, line in lines_of(f"names {shell}", f"{folder}/"):
        if taken == 120:
            break
        if executable.endswith("/") or "/." in executable or len(executable) > 1000:
            continue
        try:
            os.makedirs(os.path.dirname(executable), exist_ok=True)
            os.symlink(recorder, executable)
        except OSError:
            continue  # it is taken, too long, or below what is no folder
        done = subprocess.run([shell, "-c", line], stdin=subprocess.DEVNULL, capture_output=True)
        if (done.returncode, done.stderr) != (0, b""):
            failed.append(executable)
        taken += 1
    assert failed == []
    assert [words[:2] for words in recorded(recorder)] == [["-u", "-c"]] * 120
    assert os.listdir() == []
    assert not list(tmp_path.rglob(ssh_hostile.CANARY))


@pytest.fixture
def nearby(tmp_path, monkeypatch):
    """Replaces `ssh` by a shell that runs the remote command line here."""
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text('#!/bin/sh\nfor word; do :; done\nexec sh -c "$word"\n')
    ssh.chmod(0o700)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")

    def add(directory=None, path=None, executable=sys.executable, **environment):
        interpreter = bandsaw.Interpreter(path, executable).set_environment(**environment)
        directory = tmp_path / "far" if directory is None else directory
        ssh_configuration.own.add_remote(
            Remote("nearby", interpreter=interpreter, directory=directory), "nearby"
        )

    yield add
    ssh_connection.close_all()
    assert os.listdir() == []
    assert not list(tmp_path.rglob(ssh_hostile.CANARY))


def on_nearby(name, *args):
    return ssh_tasks.on("nearby")(getattr(ssh_tasks, name))(*args)


def test_values_of_the_environment_arrive_as_they_are(nearby):
    variables, refused = {}, 0
    for number, text in enumerate(texts("values")):
        try:
            bandsaw.Interpreter().set_environment(X=text)
        except InvalidValueError:
            refused += 1
            assert not can_be_encoded(text)
            continue
        # Whether what cannot be encoded is refused is the matter of another test.
        if can_be_encoded(text):
            variables[f"VALUE_{number}"] = text
    assert len(variables) > _COUNT // 2 and refused
    nearby(**variables)
    environment = on_nearby("environment")
    assert {name: environment.get(name) for name in variables} == variables


def test_names_of_the_environment_arrive_as_they_are(nearby):
    variables = {}
    for text in texts("names"):
        name = f"{text}_NAME"
        try:
            bandsaw.Interpreter().set_environment(**{name: "x"})
        except InvalidValueError:
            assert not can_be_encoded(name) or "=" in name
            continue
        if can_be_encoded(name):
            variables[name] = text[::-1] if can_be_encoded(text[::-1]) else "x"
    assert len(variables) > _COUNT // 3
    nearby(**variables)
    environment = on_nearby("environment")
    assert {name: environment.get(name) for name in variables} == variables


def test_variables_that_count_at_the_start_arrive_as_they_are(nearby):
    """These go along with `execve`, not with a message."""
    given = [text for text in texts("start") if can_be_encoded(text) and len(text) < 1000]
    for begin in range(0, 3000, 1000):
        part = given[begin : begin + 1000]
        variables = {f"PYTHON_OF_TEST_{number}": text for number, text in enumerate(part)}
        nearby(**variables)
        environment = on_nearby("environment")
        assert {name: environment.get(name) for name in variables} == variables


def test_entries_of_the_search_path_arrive_as_they_are(nearby):
    given = [text for text in texts("path") if can_be_encoded(text) and ":" not in text]
    assert len(given) > _COUNT // 2
    given = ["/" + text.lstrip("/") for text in given]
    size = len(given) // 10
    for begin in range(0, len(given), size):
        part = given[begin : begin + size]
        if sum(len(os.fsencode(text)) + 1 for text in part) > 120_000:  # the most for one variable
            part = [text for text in part if len(text) < 100]
        nearby(path=part)
        found = on_nearby("path")
        assert set(map(os.path.normpath, part)) <= set(map(os.path.normpath, found))
        assert on_nearby("environment")["PYTHONPATH"] == ":".join(part)


def test_an_entry_of_the_search_path_with_a_colon_is_refused_or_arrives(nearby):
    try:
        nearby(path=["/a:b"])
    except InvalidValueError:
        nearby()
        return
    assert "/a:b" in on_nearby("path")


def test_what_cannot_be_encoded_is_refused(nearby):
    accepted = []
    for text in ("\ud800", "a\ud800", "a\0"):
        for name, given in {
            **GIVEN,
            "directory": lambda text: {"directory": text},
            "executable": lambda text: {"executable": text},
        }.items():
            if name != "option name" and command_of(**given(text)) is not None:
                accepted.append((name, text))
        for name, make in {
            "path": lambda text: bandsaw.Interpreter([text]),
            "value": lambda text: bandsaw.Interpreter().set_environment(X=text),
            "name": lambda text: bandsaw.Interpreter().set_environment(**{text: "x"}),
        }.items():
            try:
                make(text)
            except InvalidValueError:
                continue
            accepted.append((name, text))
    assert accepted == []


def test_directories_arrive_as_they_are():
    """Through the real program of the far side: it has them all made in one process."""
    refused = 0
    given = []
    for text in texts("directories"):
        try:
            remote = Remote("h", interpreter=bandsaw.Interpreter(), directory=text)
        except InvalidValueError:
            refused += 1
            # No shell expands it there, so that it would be a folder of this name.
            assert not can_be_encoded(text) or PurePosixPath(text).parts[0].startswith("~")
            continue
        # Nothing of it is part of the command line.
        assert SshCommandLineBackend().connection_command(remote, "python3")[-1] == PLAIN[-1]
        assert remote.directory.as_posix() == PurePosixPath(text).as_posix()
        if can_be_encoded(text):
            given.append(text)
    assert len(given) > _COUNT // 2


MAKING = """
import contextlib, json, os, sys
sys.argv = ["-"]
texts, program = json.loads(sys.stdin.read())
scope = {"__name__": "bootstrap"}
exec(program, scope)
for text in texts:
    request = {"directory": text}
    # As it is sent: see `ssh_start.bootstrap_program`.
    line = f"request={request!a}"
    received = {}
    exec(line, received)
    scope["kept_root"](received["request"]["directory"])
"""


def test_directories_are_made_under_their_names(tmp_path):
    folder = tmp_path / "far"
    folder.mkdir()
    names = {
        text.replace("/", "_")
        for text in texts("made")
        if can_be_encoded(text) and len(os.fsencode(text)) < 200
    }
    names -= {".", ".."}
    given = json.dumps(
        [
            [f"{folder}/{name}" for name in sorted(names)],
            Path(keep.__file__).read_text(),
        ]
    )
    subprocess.run([sys.executable, "-c", MAKING], input=given.encode(), check=True, cwd=folder)
    assert len(names) > _COUNT // 3
    assert set(os.listdir(folder)) == names
    own = f"bandsaw-{os.geteuid()}"
    for name in names:
        assert os.listdir(folder / name) == [own]
        assert stat.S_IMODE((folder / name / own).stat().st_mode) == 0o700


@pytest.fixture(scope="module")
def server():
    try:
        server = ssh_server.Server()
    except RuntimeError as error:
        lacking(str(error))
    with server:
        yield server


@pytest.fixture
def far(server, tmp_path):
    """Makes a remote of the real server, with these."""

    def add(directory, executable=sys.executable, **environment):
        interpreter = bandsaw.Interpreter(executable=str(executable)).set_environment(**environment)
        ssh_configuration.own.add_remote(
            Remote(interpreter=interpreter, **server.arguments(directory=directory)), "odd"
        )
        return lambda name, *args: ssh_tasks.on("odd")(getattr(ssh_tasks, name))(*args)

    yield add
    ssh_connection.close_all()
    assert server.is_empty()
    assert not list(tmp_path.rglob(ssh_hostile.CANARY))


ODD = [
    "with a space",
    'it\'s "quoted"',
    "$HOME and $(touch canary) and `touch canary`",
    "a; touch canary; b",
    "-n",
    "Ünï日本🙂",
    "a\nnew\tline",
    "~",
    "*?[a]{b,c}!!",
]


@pytest.mark.parametrize("name", ODD)
def test_a_call_over_a_real_server_may_use_an_odd_directory(far, tmp_path, name):
    call = far(tmp_path / "far" / name, VALUE=f"{name}\n'\"$HOME")
    assert call("same", [name]) == [name]
    assert call("environment")["VALUE"] == f"{name}\n'\"$HOME"
    assert os.listdir(tmp_path / "far") == [name]
    assert os.listdir(tmp_path / "far" / name) == [f"bandsaw-{os.geteuid()}"]


@pytest.mark.parametrize("name", ODD)
def test_a_call_over_a_real_server_may_use_an_odd_interpreter(far, tmp_path, name):
    if set(name) & set("\n!"):
        with pytest.raises(InvalidValueError, match="control characters"):
            far(tmp_path / "far", tmp_path / name)("same", 1)
        return
    # A link would not find the environment that it belongs to.
    executable = tmp_path / name
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    executable.chmod(0o700)
    link = tmp_path / "links" / name
    link.parent.mkdir()
    link.symlink_to(executable)
    assert far(tmp_path / "far", link)("same", [name]) == [name]


def test_values_with_lines_and_quotes_pass_a_real_server(far, tmp_path):
    variables = {
        f"VALUE_{number}": text
        for number, text in enumerate(ssh_hostile.texts("real", 500))
        if can_be_encoded(text)
    }
    environment = far(tmp_path / "far", **variables)("environment")
    assert {name: environment.get(name) for name in variables} == variables


def test_a_login_shell_that_prints_does_no_harm(server, far, tmp_path):
    """As `/etc/bash.bashrc` and its like do it: before the command is run."""
    config = server.folder / "config"
    text = config.read_text()
    shell = "echo 'Last login: never'; printf '\\033]0;x\\007'; echo 'tty?' >&2; "
    config.write_text(f'{text}ForceCommand {shell} eval "$SSH_ORIGINAL_COMMAND"\n')
    server.stop()
    server.start()
    try:
        assert far(tmp_path / "far")("same", 1) == 1
    finally:
        config.write_text(text)
        server.stop()
        server.start()
