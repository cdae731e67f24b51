"""Ids of generated values and of generated programs before and after an edit.

`python -m tests.faults identity` makes others, on every interpreter. `BANDSAW_TEST_EXAMPLES=10000`
lets hypothesis look for as many here.
"""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.programs.examples import Workspace
from tests.faults.programs.examples import faults_of as faults_of_program
from tests.faults.values.dice import Dice
from tests.faults.values.examples import faults_of as faults_of_value

EXAMPLES = int(os.environ.get("BANDSAW_TEST_EXAMPLES", "0"))
settings.register_profile("values", max_examples=EXAMPLES or 150, deadline=None)
settings.register_profile("programs", max_examples=EXAMPLES or 40, deadline=None)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with Workspace(tmp_path_factory.mktemp("program")) as workspace:
        yield workspace


@settings(settings.get_profile("values"))
@given(st.randoms(use_true_random=False))
def test_ids_of_calls_are_equal_exactly_where_types_and_values_are(generator):
    faults, _ = faults_of_value(Dice(generator.random))
    assert faults == []


# A program takes more numbers than hypothesis would choose one by one.
@settings(settings.get_profile("programs"))
@given(st.integers(0, 2**64))
def test_the_id_of_a_task_changes_exactly_with_edits_of_what_it_reaches(workspace, seed):
    faults, _ = faults_of_program(Dice(random.Random(seed).random), workspace)
    assert faults == []
