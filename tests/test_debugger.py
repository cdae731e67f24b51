"""A workflow below a debugger, which follows the processes that are started."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

pytest.importorskip("debugpy")

CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.subprocess import SubprocessAdvice

    configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice())
    configuration.add_advice_chain(SubprocessAdvice(workers=1), name="kept")
"""
WORKFLOW = """
import os
import bandsaw

class OwnError(Exception):
    pass

def checked(x):
    if x < 0:
        raise OwnError(x)
    return x + 1, os.getpid()

own, kept = bandsaw.task(checked), bandsaw.task(chain="kept")(checked)

if __name__ == "__main__":
    for task in (own, kept):
        value, pid = task(1)
        assert value == 2 and pid != os.getpid()
        try:
            task(-1)
        except OwnError as error:
            print(error)
"""
BREAKPOINT = 1 + WORKFLOW[: WORKFLOW.index("return x + 1")].count("\n")
# Processes that are sent SIGABRT say where they are.
QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONFAULTHANDLER": "1"}


@pytest.fixture
def debugged(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return port, ["-m", "debugpy", "--listen", f"127.0.0.1:{port}"]


def test_tasks_leave_a_process_that_can_be_debugged(project, debugged):
    _, command = debugged
    done = project.run(*command, "workflow.py", **QUIET)
    assert done.stdout.split() == ["-1", "-1"]


class Client:
    """What an editor is for a debugger: it follows all processes, and goes on at each stop."""

    def __init__(self, address, how, source, told):
        self._source, self._told = source, told
        self._socket = socket.create_connection(address)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._ask("initialize", {"adapterID": "test", "pathFormat": "path"})
        self._ask("attach", how)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _ask(self, command, arguments=None):
        self._number += 1
        request = {"seq": self._number, "type": "request", "command": command}
        body = json.dumps({**request, "arguments": arguments or {}}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def _listen(self):
        with self._socket, self._file:
            while head := self._file.readline():
                self._file.readline()
                message = json.loads(self._file.read(int(head.split(b":")[1])))
                self._told.append(message)
                body = message.get("body") or {}
                event = message.get("event")
                if event == "initialized":
                    points = {
                        "source": {"path": self._source},
                        "breakpoints": [{"line": BREAKPOINT}],
                    }
                    self._ask("setBreakpoints", points)
                    self._ask("configurationDone")
                elif event == "debugpyAttach":
                    where = body["connect"]["host"], body["connect"]["port"]
                    Client(where, body, self._source, self._told)
                elif event == "stopped":
                    self._ask("continue", {"threadId": body["threadId"]})
                elif event == "terminated":
                    self._ask("disconnect")


def tell_where(process):
    """Has a process, and those below it, say where they are, and ends them."""
    ids = [str(process.pid)]
    for pid in ids:
        found = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True)
        ids += found.stdout.split()
    for pid in reversed(ids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGABRT)


@pytest.mark.slow
def test_a_breakpoint_in_a_task_is_reached_in_each_process(project, debugged):
    port, command = debugged
    told = []
    process = subprocess.Popen(
        [sys.executable, *command, "--wait-for-client", "workflow.py"],
        cwd=project.folder,
        env=project.environment(**QUIET),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        while process.poll() is None:
            try:
                how = {"name": "test", "type": "python", "request": "attach", "subProcess": True}
                Client(("127.0.0.1", port), how, str(project.folder / "workflow.py"), told)
                break
            except ConnectionError:
                continue  # it does not listen yet
        try:
            output, _ = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            tell_where(process)
            short = [(message.get("event") or message["command"]) for message in told]
            if "initialized" not in short:
                pytest.skip(f"the debugger did not begin: {short}")
            raise AssertionError(short) from None
    finally:
        process.kill()
        process.wait()
    assert output.split() == ["-1", "-1"] and process.returncode == 0
    stops = [message["body"]["reason"] for message in told if message.get("event") == "stopped"]
    assert stops == ["breakpoint"] * 2
