"""Spans, as a collector gets them."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra: pip install 'aigate[traces]'")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edge.observe.tracing import Tracing
from tests.core.test_tracing import GOOD, SPAN, TRACE
from tests.observe.made import arrival, outcome, refused


class Collector:
    """Takes spans on a port of its own; `slow` makes it never answer."""

    def __init__(self) -> None:
        self.spans: list = []
        self.services: set[str] = set()
        self.slow = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.slow.wait(0 if not outer.slow.is_set() else 10)
                asked = ExportTraceServiceRequest.FromString(body)
                for resource in asked.resource_spans:
                    outer.services |= {
                        a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                    }
                    for scope in resource.scope_spans:
                        outer.spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing on the test's output."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/traces"


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def attributes(span) -> dict:
    return {a.key: a.value.string_value or a.value.int_value or a.value.double_value for a in span.attributes}


def test_a_sampled_request_is_a_span_in_the_trace_of_its_client(collector):
    tracing = Tracing(collector.url, 1.0, "my-gate", 100, {"chat": "ollama"})
    tracing.start()
    head = arrival(pairs=[(b"traceparent", GOOD.encode())])
    tracing(outcome(head))
    tracing(outcome(status=502, reason="upstream-refused", ended="upstream-broken", model=None))
    tracing.finish()
    first, second = collector.spans
    assert first.name == "chat gemma3:4b" and first.trace_id.hex() == TRACE and first.parent_span_id.hex() == SPAN
    assert tracing.traceparent(head) == f"00-{TRACE}-{first.span_id.hex()}-01".encode()
    told = attributes(first)
    assert told["gen_ai.operation.name"] == "chat" and told["gen_ai.provider.name"] == "ollama"
    assert told["gen_ai.request.model"] == "gemma3:4b"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (50, 100)
    assert told["enduser.id"] == "alice" and told["http.response.status_code"] == 200
    assert (first.end_time_unix_nano - first.start_time_unix_nano) == 2_500_000_000
    assert attributes(second)["error.type"] == "upstream-refused" and second.status.code == 2
    assert collector.services == {"my-gate"}


def test_strangers_and_what_is_not_sampled_are_not_sent(collector):
    tracing = Tracing(collector.url, 0.0, "aigate", 100)
    tracing.start()
    tracing(outcome())
    tracing(refused(head=arrival(pairs=[(b"traceparent", GOOD.encode())])))
    tracing.finish()
    assert collector.spans == []


def test_a_collector_that_hangs_or_is_not_there_holds_nobody(collector):
    collector.slow.set()
    for url in (collector.url, "http://127.0.0.1:9/v1/traces"):
        tracing = Tracing(url, 1.0, "aigate", 50)
        tracing.start()
        began = time.perf_counter()
        for _ in range(2000):
            tracing(outcome())
        assert time.perf_counter() - began < 5
        tracing._processor = None
        tracing._overheard.finish()


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_spans_that_find_no_room_are_counted_and_said_once(collector, logged):
    collector.slow.set()
    tracing = Tracing(collector.url, 1.0, "aigate", 5)
    tracing.start()
    for _ in range(5):
        tracing(outcome())
    until(lambda: not tracing.waiting)
    for _ in range(5 + 7):
        tracing(outcome())
    assert (tracing.waiting, tracing.lost) == (5, 7)
    (line,) = [line for line in logged if "wait for the collector" in line]
    assert 'aigate_log_lost_total{log="traces"}' in line
    tracing._processor = None
    tracing._overheard.finish()


def test_spans_that_the_collector_does_not_take_are_counted_and_the_sdk_is_heard_in_our_log(logged, capfd):
    tracing = Tracing("http://127.0.0.1:9/v1/traces", 1.0, "aigate", 100)
    tracing.start()
    for _ in range(3):
        tracing(outcome())
    tracing.finish()
    assert (tracing.waiting, tracing.lost) == (0, 3)
    assert any("spans batch" in line for line in logged) and capfd.readouterr().err == ""


def test_what_the_collector_took_is_not_lost(collector):
    tracing = Tracing(collector.url, 1.0, "aigate", 100)
    tracing.start()
    for _ in range(60):
        tracing(outcome())
    tracing.finish()
    assert (len(collector.spans), tracing.waiting, tracing.lost) == (60, 0, 0)


def test_no_secret_is_in_a_span(collector):
    tracing = Tracing(collector.url, 1.0, "aigate", 100)
    tracing.start()
    secret = "aig_1a2b3c4d_deadbeefdeadbeefdeadbeefdeadbeef_01234567"
    raw = secret.encode()
    tracing(
        outcome(arrival(b"/chat/api/" + raw + b"?key=" + raw, id=secret, pairs=[(b"Authorization", raw)]), model=secret)
    )
    tracing.finish()
    assert len(collector.spans) == 1 and "deadbeef" not in str(collector.spans[0])
