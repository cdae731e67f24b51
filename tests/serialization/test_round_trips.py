"""Generated values there and back: here, through sessions, through processes of other Pythons.

`BANDSAW_TEST_EXAMPLES=20000` lets hypothesis look for as many here.
"""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandsaw.context import Context
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from bandsaw.tasks import Task
from tests.faults import serialization_echo as echo
from tests.faults import serialization_values
from tests.faults.serialization_strategies import form_of, values

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("BANDSAW_TEST_EXAMPLES", "0"))
settings.register_profile(
    "round trips",
    max_examples=EXAMPLES or 100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
few = settings(settings.get_profile("round trips"))


@pytest.fixture(params=echo.SERIALIZERS)
def kind(request):
    return request.param


@few
@given(value=values)
def test_a_value_comes_back_the_same(kind, value):
    stream = io.BytesIO()
    serializer = echo.SERIALIZERS[kind]
    serializer.serialize(value, stream)
    stream.seek(0)
    assert form_of(serializer.deserialize(stream)) == form_of(value)
    stream = io.BytesIO()
    buffers = serializer.serialize_with_buffers(value, stream)
    stream.seek(0)
    assert form_of(serializer.deserialize_with_buffers(stream, buffers)) == form_of(value)


@few
@given(
    args=st.lists(values, max_size=2).map(tuple),
    context=st.dictionaries(st.text(), values, max_size=2),
    result=st.builds(Result, values) | st.builds(Result, exception=st.builds(ValueError, values)),
)
def test_a_session_comes_back_the_same(configure, kind, args, context, result):
    configuration = configure().set_serializer(echo.SERIALIZERS[kind])
    task = Task.create_task(serialization_values.function)
    session = Session(task, Execution("e", args, {"k": args}), configuration)
    session.context.update(context)
    session.result = result
    stream = io.BytesIO()
    session.save(stream)
    back = Session().restore(stream)
    assert form_of(back.execution) == form_of(session.execution)
    assert form_of(back.context) == form_of(Context(context))
    assert form_of(back.result) == form_of(result)


@pytest.fixture(scope="module", params=["oldest", "newest"])
def process(request, pythons):
    """Starts processes of another Python, one for each serializer."""
    executable = list(pythons.values())[0 if request.param == "oldest" else -1]
    started = {}

    def of(kind):
        if kind not in started:
            started[kind] = subprocess.Popen(
                [executable, "-m", "tests.faults.serialization_echo", kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return started[kind]

    yield of
    for child in started.values():
        child.communicate()
        assert child.returncode == 0


@few
@given(value=values)
def test_a_value_comes_back_the_same_from_another_python(process, kind, value):
    child = process(kind)
    echo.send(echo.SERIALIZERS[kind], value, child.stdin)
    assert form_of(echo.receive(echo.SERIALIZERS[kind], child.stdout)) == form_of(value)


def test_the_processes_are_of_the_oldest_and_the_newest_python(pythons):
    assert tuple(sys.version_info[:2]) in pythons
    assert len(pythons) > 1 or "CI" not in os.environ
