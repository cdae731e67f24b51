"""What Progress shows while calls run."""

import json
import os
import pty
import subprocess
import sys

import pytest

from bandsaw._recording.counts import Counting, Counts
from bandsaw._session import telling
from bandsaw._system import work
from bandsaw._system.units import told_seconds
from bandsaw.errors import InvalidValueError
from bandsaw.progress import Progress

CONFIGURATION = """
import bandsaw
from bandsaw.progress import Progress

configuration = (
    bandsaw.Configuration()
    .add_advice_chain()
    .add_extension(Progress(seconds=0.1))
)
"""
WORKFLOW = """
import threading
import bandsaw, bandsaw.progress

shown, make = threading.Event(), bandsaw.progress.shower

def shower(seconds):
    shown.set()
    return make(seconds)

bandsaw.progress.shower = shower

@bandsaw.task
def step(x):
    if x == 2:
        raise ValueError(x)
    # Until something is shown, however slow the machine is.
    assert x or not {waits} or shown.wait(100)
    return x

if __name__ == "__main__":
    futures = [step.submit(x) for x in range(4)]
    futures.append(step.submit(futures[2]))  # it never begins
    for future in futures:
        future.exception()
    print("the end")
"""


def test_lines_are_written_where_there_is_no_terminal(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW.format(waits=True))
    done = project.run("workflow.py")
    assert done.stdout == "the end\n"
    assert "workflow.step: 5 of 5 done, 1 failed" in done.stderr.splitlines()[-1]


def test_calls_count_once_where_two_configurations_share_the_extension(project):
    project.write("shown.py", "import bandsaw\nshown = bandsaw.progress.Progress(seconds=600)\n")
    shared = """
    import bandsaw, shown
    configuration = bandsaw.Configuration().add_extension(shown.shown)
    """
    project.write("bandsaw_config.py", shared)
    project.write("other_config.py", shared)
    project.write("workflow.py", WORKFLOW.format(waits=True).replace(
        "@bandsaw.task", "@bandsaw.task(config='other_config')\ndef never(x): ...\n\n@bandsaw.task"
    ))  # fmt: skip
    assert "workflow.step: 5 of 5 done, 1 failed" in project.run("workflow.py").stderr


def test_nothing_goes_to_standard_output_where_standard_error_is_closed(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW.format(waits=True))
    command = f"{sys.executable} workflow.py 2>&-"
    done = subprocess.run(command, shell=True, cwd=project.folder, env=project.environment(),
                          stdout=subprocess.PIPE, text=True, timeout=120)  # fmt: skip
    assert done.stdout == "the end\n"


def test_nothing_is_shown_of_what_ends_at_once(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    # However slow the machine is: what counts is that all has ended before it is to be shown.
    patient = "import bandsaw.progress; bandsaw.progress._SECONDS_UNTIL_SHOWN = 600"
    project.write("workflow.py", patient + WORKFLOW.format(waits=False))
    assert project.run("workflow.py").stderr == ""


def test_what_calls_wait_for_is_shown(project):
    # The next line is due when all is over.
    seldom = CONFIGURATION.replace("Progress(seconds=0.1)", "Progress(seconds=600)")
    project.write("bandsaw_config.py", seldom)
    script = """
    import os, sys, threading, time
    import bandsaw, bandsaw.progress
    from bandsaw._system import work

    @bandsaw.task
    def step():
        with work.told("sending model.bin", 4_000_000) as sent:
            sent.done = 1_000_000
            shown.wait(100)
        # It has ended before the next line is due.
        time.sleep(1)

    class Stream:
        def write(self, text):
            if "1.0 MB of 4.0 MB" in text:
                shown.set()
            return sys.__stderr__.write(text)
        def flush(self):
            sys.__stderr__.flush()

    if __name__ == "__main__":
        shown, sys.stderr = threading.Event(), Stream()
        step()
    """
    project.write("workflow.py", script)
    lines = project.run("workflow.py").stderr.splitlines()
    assert "sending model.bin: 1.0 MB of 4.0 MB" in lines
    assert any(line.startswith("sending model.bin: 1.0 MB in ") for line in lines)


def test_a_terminal_has_bars(project):
    pytest.importorskip("rich", reason="bars are drawn by rich, in the extra 'cli'")
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW.format(waits=True))
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "workflow.py"], cwd=project.folder, stdin=far, stdout=far, stderr=far,
        env=project.environment(TERM="xterm", COLUMNS="100"),
    )  # fmt: skip
    os.close(far)
    text = b""
    while True:
        try:
            data = os.read(near, 4096)
        except OSError:
            break
        if not data:
            break
        text += data
    os.close(near)
    assert process.wait() == 0
    assert "━".encode() in text and b"5 of 5 done, 1 failed" in text and b"the end" in text
    # The cursor is shown again.
    assert text.rindex(b"\x1b[?25h") > text.rindex(b"\x1b[?25l")


@pytest.mark.slow
def test_a_notebook_has_bars_in_its_cell(project, monkeypatch):
    pytest.importorskip("rich", reason="bars are drawn by rich, in the extra 'cli'")
    pytest.importorskip("ipykernel", reason="there is no kernel of notebooks here")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    project.write("bandsaw_config.py", CONFIGURATION)
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    # What comes after the end of a cell is not in its outputs.
    until_shown = """
    for thread in threading.enumerate():
        if thread.name == "bandsaw-progress":
            thread.join()
"""
    text = WORKFLOW.format(waits=True) + until_shown
    (cell,) = cells = [nbformat.v4.new_code_cell(text)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(project.folder)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    bars = [output.data for output in cell.outputs if output.output_type == "display_data"]
    # One, that was drawn anew in its place.
    assert len(bars) == 1
    assert "━" in bars[0]["text/html"] and "5 of 5 done, 1 failed" in bars[0]["text/html"]
    text = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    assert text == "the end\n"


def test_a_call_that_never_began_is_done_and_no_other_one_less_runs():
    counting = Counting()
    counting.submitted("flow.step")
    counting.submitted("flow.total")
    counting.begun("flow.step")
    counting.ended("flow.total", has_failed=True, is_hit=False, has_begun=False)
    assert not counting.is_over()
    counting.ended("flow.step", has_failed=True, is_hit=False)
    assert counting.is_over()
    assert [(name, counts.running, counts.done) for name, counts in counting.rows()] == [
        ("flow.step", 0, 1), ("flow.total", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5e-5, "0.05 ms"), (0.00015, "0.15 ms"), (0.002, "0.002 s"), (1e-9, "0 s")],
)
def test_short_spans_are_told_without_an_exponent(seconds, told):
    assert told_seconds(seconds) == told


def test_many_calls_a_second_are_told_without_an_exponent():
    counts = Counts(0.0, (17_800, 17_800, 0, 17_800, 0, 0))
    counts.until = 1.0
    assert counts.text() == "17800 of 17800 done, 17,800 a second"


def test_a_listener_that_raises_fails_no_call(monkeypatch, caplog):
    def fails(*_):
        raise OSError("no screen")

    monkeypatch.setattr(work, "listeners", [fails])
    with work.told("sending") as told:
        pass
    assert told.is_over
    monkeypatch.setattr(telling, "listeners", {fails: [None]})
    telling.tell("flow.step", {}, None)
    assert caplog.messages == ["A call of task flow.step cannot be told"]


def test_what_is_no_time_is_refused():
    with pytest.raises(InvalidValueError, match="seconds"):
        Progress(seconds=0)


def test_what_runs_is_not_among_those_that_are_done():
    # One was called directly, one has ended, and one was cancelled: two were submitted.
    counts = Counts(0.0, (2, 2, 1, 2, 0, 0))
    counts.until = 1.0
    assert counts.text().startswith("2 of 3 done, 1 running")


def test_calls_go_on_where_no_thread_can_be_started_and_later_ones_are_told(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.progress import Progress
        from bandsaw.recording import Recorder

        configuration = bandsaw.Configuration().add_advice_chain()
        configuration.add_extension(Progress(seconds=0.1)).add_extension(Recorder("runs.db"))
        """,
    )
    project.write(
        "workflow.py",
        """
        import threading
        import bandsaw

        @bandsaw.task
        def one():
            return 1

        def refuse(thread):
            raise RuntimeError("can't start new thread")

        if __name__ == "__main__":
            start, threading.Thread.start = threading.Thread.start, refuse
            assert one() == 1
            threading.Thread.start = start
            assert one() == 1
        """,
    )
    assert project.run("workflow.py").stderr == ""
    done = project.run("-m", "bandsaw", "runs", "ls", "--json", "--file", "runs.db")
    assert json.loads(done.stdout)[0]["calls"] == 2
