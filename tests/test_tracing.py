"""Spans of OpenTelemetry, with the exporters of its SDK."""

import gzip
import json
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


def test_an_error_that_cannot_be_printed_stays_the_error_of_the_call(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    code = """
        import bandsaw

        class Mute(Exception):
            def __str__(self):
                raise ValueError("not this one")

        @bandsaw.task(chain="plain")
        def work():
            raise Mute()

        try:
            work()
        except Mute:
            print("Mute")
    """
    project.write("workflow.py", textwrap.dedent(code))
    path = project.folder / "spans"
    assert project.run("workflow.py", SPANS=str(path)).stdout == "Mute\n"
    (span,) = map(json.loads, path.read_text().splitlines())
    assert span[4] == "ERROR"


@pytest.fixture
def receiver():
    """A server that takes spans as OTLP over HTTP."""
    proto = "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
    service = pytest.importorskip(proto, reason="OTLP needs opentelemetry-exporter-otlp-proto-http")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            server.requests.append((self.path, service.ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(service.ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("chain", ["own", "kept"])
def test_a_receiver_of_otlp_gets_the_spans_of_all_processes(project, receiver, chain):
    begin, end = CONFIGURATION.index("class ToFile"), CONFIGURATION.index("provider = ")
    text = CONFIGURATION[:begin] + CONFIGURATION[end:]
    # Spans wait in a batch, as in most programs.
    text = text.replace("SimpleSpanProcessor(ToFile())", "BatchSpanProcessor(OTLPSpanExporter())")
    exporter = "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter"
    batch = "from opentelemetry.sdk.trace.export import BatchSpanProcessor"
    project.write("bandsaw_config.py", f"{exporter}\n{batch}\n{text}")
    project.write("workflow.py", WORKFLOW)
    endpoint = f"http://127.0.0.1:{receiver.server_port}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                 "OTEL_SERVICE_NAME": "sawmill"}  # fmt: skip
    project.run("workflow.py", chain, **variables)
    assert {path for path, _ in receiver.requests} == {"/v1/traces"}
    resources = [one for _, request in receiver.requests for one in request.resource_spans]
    services = {
        attribute.value.string_value
        for one in resources
        for attribute in one.resource.attributes
        if attribute.key == "service.name"
    }
    assert services == {"sawmill"}
    spans = [span for one in resources for scope in one.scope_spans for span in scope.spans]
    by_name = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    calls, inside, (outside,) = by_name["workflow.work"], by_name["inside"], by_name["outside"]
    assert sorted(span.parent_span_id for span in inside) == sorted(span.span_id for span in calls)
    assert [span.parent_span_id for span in calls] == [outside.span_id] * 2 + [b""]
    failed = calls[-1]
    assert failed.status.code == 2 and "ZeroDivisionError" in failed.status.message
    (event,) = failed.events
    told = {attribute.key: attribute.value.string_value for attribute in event.attributes}
    assert told["exception.type"] == "ZeroDivisionError"
    pids = {
        attribute.value.int_value
        for span in calls
        for attribute in span.attributes
        if attribute.key == "bandsaw.pid"
    }
    assert len(pids) == (1 if chain == "kept" else 3)
