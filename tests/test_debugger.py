"""A workflow below a debugger, which follows the processes that are started."""

import json
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
QUIET = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}


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

    def __init__(self, address, how, source, stops):
        self._source, self._stops = source, stops
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
                    Client(where, body, self._source, self._stops)
                elif event == "stopped":
                    self._stops.append(body["reason"])
                    self._ask("continue", {"threadId": body["threadId"]})
                elif event == "terminated":
                    self._ask("disconnect")


@pytest.mark.slow
def test_a_breakpoint_in_a_task_is_reached_in_each_process(project, debugged):
    port, command = debugged
    stops = []
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
                Client(("127.0.0.1", port), how, str(project.folder / "workflow.py"), stops)
                break
            except ConnectionError:
                continue  # it does not listen yet
        output, _ = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
    assert output.split() == ["-1", "-1"] and process.returncode == 0
    assert stops == ["breakpoint"] * 2
