import itertools

import pyperf
import pytest

from tests.benchmarks import report
from tests.benchmarks.goals import GOALS, Goal
from tests.benchmarks.measure import Bench


@pytest.fixture(scope="module")
def suite():
    return pyperf.BenchmarkSuite.load(str(report.DATA))


def test_the_page_shows_what_was_measured(suite):
    text = report.PAGE.read_text(encoding="utf-8")
    assert text.split(report.BEGIN)[1].split(report.END)[0] == report.section(suite)
    for path in report.plots_of(suite):
        assert path.exists(), f"{path.name} is missing: python -m tests.benchmarks --write"


def test_every_goal_was_measured_and_says_why_it_is_missed(suite):
    for goal in GOALS:
        found = list(goal.found(suite))
        assert found, f"{goal}: there are no such rows"
        if not all(goal.is_met(figure) for _, figure in found):
            assert goal.reason, f"{goal} is missed, and does not say why: {found}"


def test_a_goal_is_a_bound_on_the_ratio_in_the_same_rounds():
    bench = Bench()
    bench._keep("A hit", "ours", "hit", None, "second", [4.0, 9.0, 8.0])
    bench._keep("A hit", "floor", "read", None, "second", [2.0, 3.0, 2.0])
    suite = bench.suite()
    assert list(Goal("A *", "hit", "read", 3).found(suite)) == [("A hit", 3)]
    assert list(Goal("A miss", "hit", "read", 3).found(suite)) == []
    assert Goal("", "", "", 3).is_met(3.004) and not Goal("", "", "", 3).is_met(3.01)
    assert Goal("", "", "", 3, least=True).is_met(3.01)
    assert not Goal("", "", "", 3, least=True).is_met(2.99)


def test_some_sections_may_be_measured_anew(suite):
    bench = Bench()
    bench.section = next(iter(report.rows_of(suite)))
    bench._keep("A hit", "ours", "hit", None, "second", [4.0])
    joined = report.joined(suite, bench.suite())
    assert report.rows_of(joined).keys() == report.rows_of(suite).keys()
    assert [*report.rows_of(joined)[bench.section]] == ["A hit"]
    assert [bench.section in text for text in report.measured_of(joined)].count(True) == 1


@pytest.mark.slow
def test_calls_are_measured_in_turn():
    made = []
    bench = Bench(seconds=0)
    bench.compare("x", floors={"a": lambda: made.append("a")}, ours={"b": lambda: made.append("b")})
    turns = [name for name, _ in itertools.groupby(made)]
    assert turns[-8:] == ["a", "b"] * 4
    names = [bench.get_name() for bench in bench.suite()]
    assert names == ["x | a", "x | b"]


@pytest.mark.slow
def test_the_command_measures_what_is_named(project):
    done = project.run(
        "-m", "tests.benchmarks", "startup", "--seconds", "0.1", "--json", "found.json"
    )
    assert "| Start and import: import bandsaw, and use it | import json, " in done.stdout
    suite = pyperf.BenchmarkSuite.load(str(project.folder / "found.json"))
    assert "An archive | build" in suite.get_benchmark_names()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "there are startup,"),
        (["--seconds", "nan"], "'nan' is no such number above zero"),
        (["--json", "missing/found.json"], "'missing/found.json' cannot be written"),
    ],
)
def test_the_command_says_what_is_wrong(project, arguments, said):
    done = project.run("-m", "tests.benchmarks", *arguments, check=False)
    assert done.returncode == 2 and said in done.stderr


def test_what_it_takes_to_draw_is_asked_for_first(project):
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv[1:] = ['--write']\n"
        "from tests.benchmarks.__main__ import main; main()"
    )
    done = project.run("-c", code, check=False)
    assert done.returncode == 2 and "--write draws with matplotlib" in done.stderr
