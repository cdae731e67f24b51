"""Runs every code block of the README, of CONTRIBUTING.md and of the documentation.

What a fenced block means is said by its info string:

- ` ```python title="workflow.py" ` (or any other language with a title) is written to that file,
  in a temporary folder of the page. Something on the page has to use it.
- ` ```console ` holds commands after `$ `, run in that folder, and their whole output. In the
  output `...` stands for anything.
- ` ```python ` and ` ```pycon ` without a title run in one process for the page, in order; the
  latter as a doctest.
- ` ```ipython ` is a cell of a notebook: `tests/test_notebook.py` runs those of its page.
- ` ```text ` is no code: a drawing, or what a file looks like.

Everything else is an error. A comment directly above a block changes what is expected of it:

- `<!-- fails -->`: the last command ends with a status other than 0.
- `<!-- not run: REASON -->`: the block is only checked for its syntax.
- `<!-- needs the package NAME -->`: so it is where there is no such package.

`<!-- needs an SSH server as NAME -->` anywhere on a page starts one, and `ssh NAME` reaches it.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

import bandsaw

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_NOT_RUN = 5
# Pages with many commands, or with a server.
SLOW = (
    *("cache-and-refresh", "clusters", "conflicting-versions", "environments", "explain-a-miss"),
    *("files", "manage-a-cache", "run-over-ssh", "share-a-cache", "ssh", "test-a-workflow"),
)

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")
NEEDS_SSHD = re.compile(r"<!-- needs an SSH server as (\S+) -->")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands shown are for a POSIX shell")


class Block(NamedTuple):
    """A fenced block: where it begins, what is said of it, and its text."""

    page: Path
    line: int
    language: str
    title: str
    comment: str
    text: str

    @property
    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def reason_not_to_run(self):
        return self.comment[len("not run:") :].strip() if self._is_not_run else None

    @property
    def _is_not_run(self):
        return self.comment.startswith("not run:")

    @property
    def lacks_a_package(self):
        needed = re.fullmatch(r"needs the package (\w+)", self.comment)
        return needed is not None and importlib.util.find_spec(needed[1]) is None

    @property
    def fails(self):
        return self.comment == "fails"


def blocks_of(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    number, previous = 0, ""
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is None:
            previous = lines[number].strip() or previous
            number += 1
            continue
        start = number
        number += 1
        while lines[number].strip() != opening["ticks"]:
            number += 1
        info = opening["info"].strip()
        title = re.search(r'title="([^"]+)"', info)
        comment = re.fullmatch(r"<!-- (.+) -->", previous)
        yield Block(
            page=page,
            line=start + 1,
            language=info.split()[0] if info else "",
            title=title[1] if title else "",
            comment=comment[1] if comment else "",
            text=textwrap.dedent("\n".join(lines[start + 1 : number])) + "\n",
        )
        previous = ""
        number += 1


def pages_with_blocks():
    found = []
    for page in PAGES:
        blocks = [block for block in blocks_of(page) if block.language != "text" or block.title]
        installs = any(
            re.search(r"pip install|Environment[.(]|bandsaw env build", b.text)
            and b.reason_not_to_run is None
            for b in blocks
        )
        if blocks:
            marks = [pytest.mark.network] if installs else []
            if page.stem in SLOW:
                marks.append(pytest.mark.slow)
            found.append(pytest.param(page, id=page.relative_to(ROOT).as_posix(), marks=marks))
    return found


def commands_of(text):
    """Splits a console block into pairs of command and output."""
    commands = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append([line[2:], []])
        elif commands and not commands[-1][1] and commands[-1][0].endswith("\\"):
            commands[-1][0] += "\n" + line
        else:
            assert commands, f"output before the first command: {line}"
            commands[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in commands]


def matches(shown, output):
    shown, output = (
        "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
        for text in (shown, output)
    )
    pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.", shown))
    return re.fullmatch(pattern, output, re.DOTALL) is not None


# Runs the blocks of one page in one namespace. It is told of them on a channel of its own, so that
# what they print and read does not get in the way.
NAMESPACE = """
import doctest, json, os, sys, traceback
sys.path.insert(0, "")
requests, replies = (os.fdopen(int(number), mode) for number, mode in zip(sys.argv[1:3], "rw"))
names = {"__name__": "__page__"}
for line in requests:
    request = json.loads(line)
    try:
        if request["language"] == "python":
            exec(compile(request["text"], request["where"], "exec"), names)
        else:
            parser = doctest.DocTestParser()
            test = parser.get_doctest(request["text"], names, request["where"], None, 0)
            found = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            runner.run(test, out=found.append, clear_globs=False)
            names.update(test.globs)
            assert not found, "".join(found)
        reply = ""
    except BaseException:
        reply = traceback.format_exc()
    sys.stdout.flush()
    replies.write(json.dumps(reply) + "\\n")
    replies.flush()
"""


class Namespace:
    """The process in which the untitled Python blocks of a page run. It starts when needed."""

    def __init__(self, folder, environment):
        self._folder = folder
        self._environment = environment
        self._process = None

    def run(self, block):
        if self._process is None:
            self._start()
        request = {"language": block.language, "text": block.text, "where": block.where}
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        reply = self._replies.readline()
        assert reply, f"{block.where}: the process ended"
        assert not json.loads(reply), f"{block.where}\n{json.loads(reply)}"

    def close(self):
        if self._process is not None:
            self._requests.close()
            self._process.wait(60)
            self._replies.close()

    def _start(self):
        request_reader, request_writer = os.pipe()
        reply_reader, reply_writer = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", NAMESPACE, str(request_reader), str(reply_writer)],
            cwd=self._folder,
            env=self._environment,
            pass_fds=(request_reader, reply_writer),
            stdin=subprocess.DEVNULL,
        )
        os.close(request_reader)
        os.close(reply_writer)
        self._requests = os.fdopen(request_writer, "w")
        self._replies = os.fdopen(reply_reader, "r")


@pytest.fixture
def environment(tmp_path):
    """The environment of the commands: this interpreter is `python`, and has bandsaw."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("BANDSAW_")}
    # Of its own, so that a page can show what is kept.
    variables["BANDSAW_HOME"] = str(tmp_path / "home")
    # Among others: where it is shared, a run of pytest on a page clears away what earlier runs of
    # these tests have left there, and that can take minutes.
    variables["TMPDIR"] = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    # Prefect's server is of the page, takes long to start on a busy machine, and reports nothing.
    variables["PREFECT_HOME"] = str(tmp_path / "prefect")
    variables["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "300"
    variables["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("python", "python3"):
        write_command(commands / name, f'exec "{sys.executable}" "$@"')
    variables["PATH"] = os.pathsep.join([str(commands), variables["PATH"]])
    has_bandsaw = subprocess.run(
        [sys.executable, "-c", "import bandsaw"], cwd=tmp_path, env=variables, capture_output=True
    )
    if has_bandsaw.returncode != 0:  # an uninstalled checkout
        variables["PYTHONPATH"] = str(Path(bandsaw.__file__).parent.parent)
    return variables


def write_command(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@contextlib.contextmanager
def ssh_server(alias, folder):
    """Starts an SSH server. An `ssh` placed in the folder knows it by the alias."""
    path = ROOT / "examples" / "remote" / "sshd.py"
    spec = importlib.util.spec_from_file_location("sshd", path)
    sshd = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sshd)
    try:
        server = sshd.Server()
    except sshd.NotInstalledError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with server:
        # OpenSSH takes the path of its configuration from the user database, not from HOME.
        config = folder / "ssh_config"
        config.write_text(
            f"Host {alias}\n"
            f"HostName 127.0.0.1\n"
            f"Port {server.port}\n"
            f"User {server.user}\n"
            f"IdentityFile {server.key_file}\n"
            f"UserKnownHostsFile {server.known_hosts}\n"
        )
        for name in ("ssh", "scp", "sftp"):
            write_command(folder / name, f'exec "{shutil.which(name)}" -F "{config}" "$@"')
        yield


@pytest.mark.parametrize("page", pages_with_blocks())
def test_every_block_of_a_page_does_what_it_shows(page, tmp_path, environment):
    folder = tmp_path / "page"
    folder.mkdir()
    namespace = Namespace(folder, environment)
    alias = NEEDS_SSHD.search(page.read_text(encoding="utf-8"))
    with contextlib.ExitStack() as stack:
        stack.callback(namespace.close)
        if alias:
            stack.enter_context(ssh_server(alias[1], tmp_path / "bin"))
        for block in blocks_of(page):
            if block.reason_not_to_run is not None or block.lacks_a_package:
                check_syntax(block)
            elif block.title:
                write_file(block, folder)
            elif block.language == "console":
                run_commands(block, folder, environment)
            elif block.language in ("python", "pycon"):
                namespace.run(block)
            elif block.language != "ipython":
                assert block.language == "text", f"{block.where}: cannot tell how to run this"


def check_syntax(block):
    assert block.reason_not_to_run != "", f"{block.where}: say why it is not run"
    if block.language == "python":
        compile(block.text, block.where, "exec")
    else:
        assert block.language == "console", f"{block.where}: nothing checks this"
        for command, _ in commands_of(block.text):
            subprocess.run(["bash", "-n", "-c", command], check=True)


def write_file(block, folder):
    if block.title.endswith(".py"):
        compile(block.text, block.where, "exec")
    path = folder / block.title
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def run_commands(block, folder, environment):
    commands = commands_of(block.text)
    for number, (command, shown) in enumerate(commands, 1):
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            encoding="utf-8",
        )
        may_fail = block.fails and number == len(commands)
        if may_fail and sys.version_info < (3, 11):
            # Older ones show no notes of exceptions.
            shown = shown.partition("\nIn the call ")[0] + "\n"
        assert (run.returncode != 0) == may_fail, f"{block.where}: $ {command}\n{run.stdout}"
        assert matches(shown, run.stdout), (
            f"{block.where}: $ {command}\nshown:\n{shown}\nprinted:\n{run.stdout}"
        )


@pytest.mark.parametrize("page", pages_with_blocks())
def test_every_file_that_a_page_shows_is_used_on_it(page):
    blocks = [block for block in blocks_of(page) if block.reason_not_to_run is None]
    for shown in blocks:
        if not shown.title:
            continue
        others = [block for block in blocks if block.title != shown.title]
        name = shown.title.replace("/", ".")
        for suffix in (".py", ".__init__"):
            name = name[: -len(suffix)] if name.endswith(suffix) else name
        words = rf"\b({re.escape(name)}|{re.escape(shown.title)})\b"
        used = any(re.search(words, other.text) for other in others)
        if name == "bandsaw_config":  # read by every task, and by the command line
            used = any(re.search("bandsaw.task|-m bandsaw", other.text) for other in others)
        assert used, f"{shown.where}: nothing uses {shown.title}"


def test_few_blocks_are_not_run():
    not_run = [
        block.where
        for page in PAGES
        for block in blocks_of(page)
        if block.reason_not_to_run is not None
    ]
    assert len(not_run) <= MOST_NOT_RUN, not_run


def test_a_comment_above_a_block_is_one_that_is_understood():
    for page in PAGES:
        for block in blocks_of(page):
            known = block.comment.startswith(("not run:", "needs ")) or block.fails
            assert known or not block.comment, f"{block.where}: {block.comment}"
