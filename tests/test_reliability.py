"""The page about reliability: its tests and campaigns exist, and its figures are those measured."""

import json
import re

import pytest

from tests.conftest import ROOT
from tests.faults import page
from tests.faults.campaigns import CAMPAIGNS

TEXT = page.PAGE.read_text(encoding="utf-8")
ROUND = "test_a_round_of_each_campaign_finds_no_fault"
PROMISES = [line for line in TEXT.splitlines() if "`tests/" in line]


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line.split("|")[1].strip()[:60])
def test_each_promise_is_held_by_tests_that_exist(line):
    _, promise, tests, campaigns, _ = line.split("|")
    assert promise.strip()
    for path, name, campaign in re.findall(r"`(tests/\S+\.py)::(\w+)(?:\[([\w-]+)\])?`", tests):
        assert re.search(
            rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
        ), name
        assert campaign in CAMPAIGNS if name == ROUND else not campaign
    assert tests.count("`") == 2 * tests.count("::")
    assert {*re.findall("`(.*?)`", campaigns)} <= {*CAMPAIGNS}


def test_each_campaign_looks_for_a_counterexample_to_a_promise():
    named = {name for line in PROMISES for name in re.findall("`(.*?)`", line.split("|")[3])}
    assert named == {*CAMPAIGNS}


def test_the_figures_on_the_page_are_those_that_were_measured():
    told = json.loads(page.JSON.read_text(encoding="utf-8"))
    assert TEXT == page.with_figures(TEXT, told)
    assert page.JSON.read_text(encoding="utf-8") == page.as_json(told)
    # Few machines have all engines.
    optional = {name for name in CAMPAIGNS if name.startswith("engines-")} - {"engines-pool"}
    assert {*CAMPAIGNS} - optional <= {*told["campaigns"]} <= {*CAMPAIGNS}
