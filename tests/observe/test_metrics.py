import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.core.folding import OTHER, Fold
from edge.observe.gauges import Gauges
from edge.observe.genai import operation
from edge.observe.metrics import USERS, Metrics
from tests.observe.made import arrival, attempt, by, outcome, refused


def page(metrics: Metrics) -> dict[str, dict[tuple, float]]:
    """Sample name → labels → value."""
    made: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            made.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return made


def labels(**values: str) -> tuple:
    return tuple(sorted(values.items()))


def full_gauges() -> Gauges:
    return Gauges(
        in_flight=lambda: 3,
        connections=lambda: 7,
        upstreams=lambda: [("chat", "http://127.0.0.1:11434", "healthy", 2), ("tts", "http://gpu:1", "down", 0)],
        queued=lambda: {"chat": 4},
        certificates=lambda: [("gate.lan", 1.8e9)],
        keys=lambda: {"generation": 5, "keys": 2, "loaded": 1.7e9, "problem": ""},
        reloads=lambda: {("keys", "ok"): 3},
        redis=lambda: {"up": True},
        disk=lambda: (5, 10),
        handshakes=lambda: {"ok": 10, "failed": 1},
        lost=lambda: {"access": 0},
        problems=lambda: {"access": 0.0},
    )


def test_requests_are_counted_by_service_method_and_status():
    metrics = Metrics()
    metrics([outcome(), outcome(), refused()])
    found = page(metrics)
    assert found["aigate_http_requests_total"] == {
        labels(service="chat", method="POST", code="200"): 2,
        labels(service="gate", method="POST", code="401"): 1,
    }
    assert found["aigate_refusals_total"] == {labels(service="gate", reason="no-key"): 1}
    assert found["aigate_http_request_duration_seconds_count"][labels(service="chat")] == 2
    assert found["aigate_http_request_duration_seconds_sum"][labels(service="chat")] == 5.0
    assert found["aigate_http_time_to_first_byte_seconds_sum"][labels(service="chat")] == pytest.approx(0.6)
    assert found["aigate_http_response_bytes_total"][labels(service="chat")] == 10240
    assert found["aigate_units_total"][labels(service="chat", unit="completion_tokens")] == 200
    assert found["aigate_user_units_total"][labels(user="alice", unit="tokens")] == 300


def test_a_value_on_a_bound_belongs_to_it():
    metrics = Metrics()
    metrics([outcome(seconds=2.5)])
    found = page(metrics)["aigate_http_request_duration_seconds_bucket"]
    assert found[labels(service="chat", le="2.5")] == 1 and found[labels(service="chat", le="1.0")] == 0
    assert found[labels(service="chat", le="+Inf")] == 1


def test_ai_requests_have_the_names_of_the_semantic_conventions():
    metrics = Metrics(providers={"chat": "ollama"})
    metrics([outcome()])
    found = page(metrics)
    about = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "ollama", "gen_ai_request_model": "gemma3:4b"}
    assert found["gen_ai_client_token_usage_sum"] == {
        labels(**about, gen_ai_token_type="input"): 50,
        labels(**about, gen_ai_token_type="output"): 100,
    }
    assert found["gen_ai_client_operation_duration_seconds_count"][labels(**about)] == 1
    assert found["gen_ai_server_time_to_first_token_seconds_sum"][labels(**about)] == pytest.approx(0.3)
    assert found["gen_ai_server_time_per_output_token_seconds_sum"][labels(**about)] == pytest.approx(2.2 / 99)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/chat/api/v1/chat/completions", "chat"),
        (b"/chat/api/v1/completions", "text_completion"),
        (b"/chat/api/api/chat", "chat"),
        (b"/chat/api/generate", "text_completion"),
        (b"/chat/api/v1/messages", "chat"),
        (b"/chat/api/v1/embeddings", "embeddings"),
        (b"/chat/api/tags", ""),
    ],
)
def test_operations_are_known_by_their_path(path, name):
    assert operation(path) == name


def test_a_million_bogus_paths_keys_models_methods_and_users_add_no_series():
    metrics = Metrics(models=3)
    for model in ("a", "b", "c"):
        metrics([outcome(model=model)])
    for name in range(USERS):
        metrics([by(outcome(), user=f"user{name}")])
    for reason in ("unknown-key", "no-route"):
        metrics([refused(reason)])
    metrics([outcome(arrival(method="BREW0"))])
    metrics([by(outcome(model="bogus"), user="bogus")])
    before = metrics.page().count(b"\naigate") + metrics.page().count(b"\ngen_ai")
    for number in range(20_000):
        metrics([refused("no-route", 404, head=arrival(b"/%d" % number))])
        metrics(
            [refused("unknown-key", head=arrival(id=f"x{number}", client=f"10.0.{number >> 8 & 255}.{number & 255}"))]
        )
        metrics(
            [by(outcome(arrival(method=f"BREW{number}"), model=f"model{number}", status=200), user=f"bogus{number}")]
        )
        metrics.attempt(attempt(reason="unknown-key"))
    page_after = metrics.page()
    grown = page_after.count(b"\naigate") + page_after.count(b"\ngen_ai") - before
    # The first of a status that was not seen before, and the attempts' own family.
    assert grown < 20, grown
    assert len(page_after) < 400_000


def test_a_model_that_no_server_answered_to_takes_no_place():
    fold = Fold(2)
    assert fold.name("made-up", real=False) == OTHER
    assert [fold.name(name, real=True) for name in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]
    assert fold.name("a", real=False) == "a"


def test_what_the_gate_is_like_now_is_told():
    found = page(Metrics(further=[full_gauges()]))
    assert found["aigate_http_requests_in_flight"] == {(): 3}
    assert found["aigate_upstream_up"] == {
        labels(service="chat", upstream="http://127.0.0.1:11434"): 1,
        labels(service="tts", upstream="http://gpu:1"): 0,
    }
    assert found["aigate_certificate_expiry_timestamp_seconds"][labels(name="gate.lan")] == 1.8e9
    assert found["aigate_keys"] == {(): 2} and found["aigate_keys_problem"] == {(): 0}
    assert found["aigate_tls_handshakes_total"][labels(result="failed")] == 1
    assert "process_resident_memory_bytes" in found and "python_gc_collections_total" in found


def test_promtool_finds_nothing_to_say(need):
    metrics = Metrics(further=[full_gauges()])
    metrics([outcome()])
    metrics([refused()])
    metrics.attempt(attempt())
    ran = subprocess.run(
        [need("promtool"), "check", "metrics"], input=metrics.page(), capture_output=True, timeout=60, check=False
    )
    said = (ran.stdout + ran.stderr).decode()
    # The names of the process and Python figures are prometheus-client's own.
    ours = [line for line in said.splitlines() if re.match(r"(aigate|gen_ai)", line)]
    assert ran.returncode in (0, 3) and not ours, said
    assert shutil.which("promtool")


def test_values_wait_in_bounds_and_are_counted_right():
    from edge.observe.histogram import FOLD, Histogram

    metrics, slow = Metrics(), Histogram((1.0, 2.0))
    for number in range(FOLD * 3 + 5):
        metrics([outcome(seconds=number / 1000)])
        slow.observe(number % 3 + 0.5)
    assert len(metrics._services["chat"].duration._values) < FOLD
    assert page(metrics)["aigate_http_request_duration_seconds_count"][labels(service="chat")] == FOLD * 3 + 5
    slow.fold()
    assert sum(slow.counts) == FOLD * 3 + 5 and max(slow.counts) - min(slow.counts) <= 1
