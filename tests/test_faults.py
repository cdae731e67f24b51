"""One round of each campaign of `python -m tests.faults`, and its command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, lacking
from tests.faults import __main__ as command
from tests.faults.campaigns import CAMPAIGNS, Campaign
from tests.faults.campaigns import lacking as lacking_for
from tests.faults.figures import SORTS
from tests.faults.rounds import one_round

OPTIONAL = ("fsspec", "paramiko", "loky", "distributed", "ray", "submitit", "slurmctld")
# The others start many processes, as the other tests of processes do.
QUICK = ("archives", "cache-damage", "frames", "serialization")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in CAMPAIGNS],
)
def test_a_round_of_each_campaign_finds_no_fault(name):
    missing = lacking_for(CAMPAIGNS[name])
    if missing:
        # They need what few machines have.
        is_optional = name == "traced" or {"Linux", *OPTIONAL} & {*missing}
        (pytest.skip if is_optional else lacking)(f"this needs {' and '.join(missing)}")
    figures = one_round(CAMPAIGNS[name], seed=0)
    assert figures.faults == []
    assert figures.calls > 0
    assert figures.injected


# Campaigns that find something.


def believing(dice, figures, directory):
    """Is the campaign against entries, on a cache that does not verify them."""
    from bandsaw._cache import entry
    from tests.faults import cache_damage

    class Digest(bytes):
        def __ne__(self, other):
            return False

    class Believing:
        def __init__(self, data):
            self.update = lambda data: None

        def digest(self):
            return Digest(32)

    entry.sha256 = Believing
    cache_damage.run(dice, figures, directory)


def leaving(dice, figures, directory):
    """Leaves a process and a file."""
    from tests.faults import workers_seen

    sleeper = subprocess.Popen(["sleep", "600"])
    assert workers_seen.settles(lambda: "sleep" in _name_of(sleeper.pid))
    with open(os.path.join(os.environ["TMPDIR"], "left"), "w"):
        pass


def _name_of(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read()


def hanging(dice, figures, directory):
    time.sleep(600)


def ending(dice, figures, directory):
    os._exit(3)


def calling(dice, figures, directory):
    figures.calls += 1


def untyped(dice, figures, directory):
    raise KeyError("a bare one")


def campaign_of(function):
    return Campaign(f"tests.test_faults:{function.__name__}", "finds something")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "sort", "text"),
    [
        (believing, "wrong", "executed 0 times"),
        (ending, "untyped", "ended with 3"),
        (untyped, "untyped", "KeyError: 'a bare one'"),
    ],
)
def test_a_campaign_that_finds_a_fault_ends_with_1_and_says_how_to_repeat_it(
    function, sort, text, capsys, tmp_path
):
    path = tmp_path / "figures.json"
    arguments = ["one", "--rounds", "1", "--seed", "7", "--json", str(path)]
    assert command.main(arguments, {"one": campaign_of(function)}) == 1
    told = capsys.readouterr().out
    assert text in told
    assert "python -m tests.faults one --rounds 1 --seed 7" in told
    assert told.endswith("1 fault, seed 7\n")
    found = json.loads(path.read_text())["campaigns"]["one"]
    assert {each: found[each] for each in SORTS} == {**dict.fromkeys(SORTS, 0), sort: 1}


def test_what_a_round_leaves_is_found_and_removed(monkeypatch):
    monkeypatch.setattr("tests.faults.rounds._SETTLES_SECONDS", 0.1)
    figures = one_round(campaign_of(leaving), seed=0)
    assert [sort for sort, _ in figures.faults] == ["left", "left"]
    assert "sleep 600" in figures.faults[0][1]
    assert "temporary files: ['left']" in figures.faults[1][1]


def test_a_round_that_hangs_is_ended_and_says_where():
    for seconds in (2, 10, 50):
        figures = one_round(campaign_of(hanging), seed=0, seconds=seconds)
        assert [sort for sort, _ in figures.faults] == ["hang"]
        if "in hanging" in figures.faults[0][1]:
            return  # before, a busy machine had not begun the round
    raise AssertionError(figures.faults)


# The command line.


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing"], "there is no campaign nothing; there are: cache-kills, "),
        (["--minutes", "0"], "'0' is no such number above zero"),
        (["--minutes", "many"], "'many' is no such number above zero"),
        (["--rounds", "1.5"], "'1.5' is no such number above zero"),
        (["--json", "missing/found.json"], "'missing/found.json' cannot be written"),
        (["--write", "frames"], "leave the names out"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments, text, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_a_campaign_that_needs_what_is_not_there_is_skipped(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert command.main(["traced", "--rounds", "1"]) == 0
    assert "traced: skipped, this needs strace\n" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_ends_it_with_the_figures_so_far():
    code = (
        "import sys\n"
        "from tests.faults.__main__ import main\n"
        "from tests.test_faults import calling, campaign_of, hanging\n"
        "known = {'one': campaign_of(calling), 'two': campaign_of(hanging)}\n"
        "sys.exit(main(['--rounds', '1'], known))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline().startswith("one: ")
        process.send_signal(signal.SIGINT)
        told, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "")
    assert "interrupted; the figures so far:" in told
    assert "no faults, seed " in told
