import logging

import pytest

import bandsaw
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session


class Task:
    def __init__(self, result):
        self.task_id, self.result = "my-task", result

    def execute(self, execution):
        return self.result

    def __str__(self):
        return "module.function"


@pytest.mark.parametrize(
    ("result", "outcome"),
    [(Result([1]), "returned list"), (Result(exception=KeyError(1)), "raised KeyError")],
)
def test_a_line_before_and_a_line_after(configure, caplog, result, outcome):
    caplog.set_level(logging.INFO)
    configuration = configure(bandsaw.advices.log.LoggingAdvice())
    Session(Task(result), Execution("my-execution"), configuration).initiate()
    assert caplog.record_tuples == [
        ("bandsaw.advices.log", logging.INFO, "BEFORE my-task:my-execution module.function"),
        (
            "bandsaw.advices.log",
            logging.INFO,
            f"AFTER my-task:my-execution module.function {outcome}",
        ),
    ]


def test_the_logger_is_looked_up_when_it_is_needed(configure, monkeypatch):
    lines = []

    class Logger:
        def isEnabledFor(self, level):  # as logging spells it
            return True

        def info(self, message, *arguments):
            lines.append(message % arguments)

    monkeypatch.setattr("bandsaw.advices.log.logger", Logger())
    configuration = configure(bandsaw.advices.log.LoggingAdvice())
    Session(Task(Result(1)), Execution("e"), configuration).initiate()
    assert [line.split()[0] for line in lines] == ["BEFORE", "AFTER"]


def test_no_id_is_made_where_nobody_listens(configure, caplog):
    class Unidentified(Task):
        @property
        def task_id(self):
            raise AssertionError

        @task_id.setter
        def task_id(self, value):
            pass

    caplog.set_level(logging.WARNING)
    configuration = configure(bandsaw.advices.log.LoggingAdvice())
    Session(Unidentified(Result(1)), Execution("e"), configuration).initiate()
