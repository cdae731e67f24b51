"""Spans of OpenTelemetry, with the exporters of its SDK."""

import json

import pytest

pytest.importorskip("opentelemetry.sdk", reason="spans are tested with opentelemetry-sdk")

CONFIGURATION = """
import json, os
import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.tracing import Tracing
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open(os.environ["SPANS"], "a") as file:
            for span in spans:
                parent = span.parent and span.parent.span_id
                file.write(json.dumps([
                    span.name, span.context.trace_id, span.context.span_id, parent,
                    span.status.status_code.name, os.getpid(), dict(span.attributes or {}),
                    [event.name for event in span.events],
                ]) + "\\n")
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToFile()))
trace.set_tracer_provider(provider)
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(name="plain")
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_extension(Tracing())
)
"""
WORKFLOW = """
import sys
import bandsaw
from opentelemetry import trace

def work(x):
    with trace.get_tracer("mine").start_as_current_span("inside"):
        return 1 // x

tasks = {name: bandsaw.task(chain=name)(work) for name in ("plain", "own", "kept")}

if __name__ == "__main__":
    task = tasks[sys.argv[1]]
    with trace.get_tracer("mine").start_as_current_span("outside"):
        task(1)
        task(1)
    try:
        task(0)
    except ZeroDivisionError:
        pass
"""


@pytest.mark.parametrize("chain", ["plain", "own", "kept"])
def test_spans_of_a_task_are_children_of_its_call_wherever_it_runs(project, chain):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW)
    path = project.folder / "spans"
    project.run("workflow.py", chain, SPANS=str(path))
    spans = [json.loads(line) for line in path.read_text().splitlines()]
    calls = [span for span in spans if span[0] == "workflow.work"]
    inside = [span for span in spans if span[0] == "inside"]
    (outside,) = (span for span in spans if span[0] == "outside")
    assert len(calls) == len(inside) == 3
    assert sorted(span[3] for span in inside) == sorted(span[2] for span in calls)
    assert [span[3] for span in calls] == [outside[2], outside[2], None]
    assert {span[1] for span in calls[:2] + inside[:2]} == {outside[1]}
    assert [span[4] for span in calls] == ["UNSET", "UNSET", "ERROR"]
    assert calls[-1][7] == ["exception"]
    assert calls[0][6]["code.function.name"] == "workflow.work"
    is_here = {span[5] == outside[5] for span in inside}
    assert is_here == {chain == "plain"}
