"""Options of `@task`: their names and values are checked where the function is decorated."""

import pytest

import bandsaw
from bandsaw import _task_options
from bandsaw.errors import InvalidValueError, UnknownOptionError


def function():
    return 1


class Declaring(bandsaw.Advice):
    task_options = ("quota", "label")


class Checking(bandsaw.Advice):
    @property
    def task_options(self):
        return {"quota": lambda value: None if value > 0 else "has to be above 0", "any": None}


@pytest.fixture
def task(configure):
    name = configure(Declaring()).module_name
    return lambda **options: bandsaw.task(config=name, **options)(function)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cach", "cache"),
        ("cahce", "cache"),
        ("time_out", "timeout"),
        ("depend", "depends"),
        ("retrys", "retry"),
        ("chian", "chain"),
        ("configs", "config"),
        ("quotas", "quota"),
    ],
)
def test_a_name_close_to_a_known_one_is_an_error_that_names_it(task, name, meant):
    with pytest.raises(UnknownOptionError, match=f"function: .*{name!r}.*{meant!r}") as caught:
        task(**{name: 1})
    assert isinstance(caught.value, TypeError)


def test_other_unknown_names_are_kept(task):
    assert task(anything=1).bandsaw_task.kwargs == {"anything": 1}


@pytest.mark.parametrize("name", _task_options.OURS)
def test_a_name_that_is_declared_is_not_a_misspelt_one(configure, name):
    class Advice(bandsaw.Advice):
        task_options = f"{name}_"

    configuration = configure(Advice())
    bandsaw.task(config=configuration.module_name, **{f"{name}_": object()})(function)


def test_strict_options_refuse_what_nobody_declares(configure):
    configuration = configure(Declaring())
    assert configuration.set_strict_options() is configuration
    task = bandsaw.task(config=configuration.module_name, label="x", cache=False)
    assert task(function).bandsaw_task.kwargs == {"label": "x", "cache": False}
    with pytest.raises(UnknownOptionError, match="'anything'.*cache.*label.*task_options"):
        bandsaw.task(config=configuration.module_name, anything=1)(function)


def test_advices_of_other_chains_declare_options_as_well(configure):
    configuration = configure().add_advice_chain(Checking(), name="other").set_strict_options()
    with pytest.raises(InvalidValueError, match="function: quota=0 cannot .* has to be above 0"):
        bandsaw.task(config=configuration.module_name, quota=0)(function)
    bandsaw.task(config=configuration.module_name, quota=1, any=None)(function)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 0),
        ("batch", True),
        ("cache", "refresh"),
        ("cache", {"fresh": True}),
        ("cache", None),
        ("depends", "function"),
        ("executor", 3),
        ("executor", {"batch": 0}),
        ("executor", {"slurm": 3}),
        ("state", ["nodot"]),
        ("ignore", "verbose"),
        ("ignore", ["verbose"]),
        ("retry", 3),
        ("retry", {"attempt": 3}),
        ("ssh", "two"),
        ("ssh", {"remotes": "two"}),
        ("ssh", {"remote": []}),
        ("ssh", {"retries": -1}),
        ("state", "lib._x"),
        ("state", ["lib x"]),
        ("timeout", 0),
        ("timeout", "30"),
        ("timeout", True),
    ],
)
def test_a_value_that_an_option_cannot_have_is_an_error_that_names_it(task, name, value):
    with pytest.raises(InvalidValueError, match=name):
        task(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 8, "executor": {"ray": {"num_gpus": 1}}, "retry": {"attempts": 5}},
        {"cache": {"refresh": True}, "depends": [len], "ignore": (), "version": 2},
        {"ssh": {"remote": ["a", "b"], "retries": 2}, "state": ["lib._x"], "timeout": 0.5},
        {"timeout": None, "version": None, "cache": True},
    ],
)
def test_values_that_options_can_have_are_kept(task, options):
    assert task(**options).bandsaw_task.kwargs == options
