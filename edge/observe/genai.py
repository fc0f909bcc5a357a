"""What AI requests are in the words of OpenTelemetry's semantic conventions for generative AI, and their histograms.

The conventions are still marked as in development; names and buckets are those of version 1.37.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from attrs import define, field
from prometheus_client.core import HistogramMetricFamily, Metric

from edge.core.exchange import Outcome
from edge.core.folding import Fold
from edge.observe.histogram import Histogram

TOKENS: Final = tuple(4.0**power for power in range(14))
DURATIONS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0,
)  # fmt: skip
EACH: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_OPERATIONS: Final[dict[bytes, str]] = {
    b"completions": "text_completion",
    b"generate": "text_completion",
    b"completion": "text_completion",
    b"chat": "chat",
    b"messages": "chat",
    b"responses": "chat",
    b"embeddings": "embeddings",
    b"embed": "embeddings",
    b"speech": "speech",
    b"transcriptions": "transcription",
    b"translations": "transcription",
    b"generations": "image_generation",
    b"edits": "image_generation",
    b"txt2img": "image_generation",
    b"img2img": "image_generation",
    b"prompt": "image_generation",
}


@lru_cache(maxsize=256)
def operation(path: bytes) -> str:
    """`gen_ai.operation.name` of a path, "" where it is none that we know."""
    before, _, last = path.rpartition(b"/")
    if last == b"completions" and before.endswith(b"/chat"):
        return "chat"
    return _OPERATIONS.get(last, "")


class _Series:
    """One operation on one model of one provider."""

    __slots__ = ("duration", "each", "first", "input", "output")

    def __init__(self) -> None:
        self.input = Histogram(TOKENS)
        self.output = Histogram(TOKENS)
        self.duration = Histogram(DURATIONS)
        self.first = Histogram(FIRST)
        self.each = Histogram(EACH)


@define(eq=False)
class GenAI:
    """Histograms of AI requests. `providers` names the kind of each service: ollama, openai, …"""

    models: Fold
    providers: dict[str, str] = field(factory=dict)
    _series: dict[tuple[str, str, str], _Series] = field(factory=dict, init=False)

    def tell(self, outcome: Outcome, service: str, model: str) -> None:
        """Count one request that was let in; `model` is folded already."""
        name = operation(outcome.exchange.arrival.path)
        if not name:
            return
        mark = (name, service, model)
        one = self._series.get(mark)
        if one is None:
            # Operations, services and models are each few, so that their product is bounded.
            one = self._series[mark] = _Series()
        one.duration.observe(outcome.seconds)
        units = outcome.units
        asked, answered = units.get("prompt_tokens"), units.get("completion_tokens")
        if asked is not None:
            one.input.observe(asked)
        if answered is not None:
            one.output.observe(answered)
        first = outcome.first_byte
        if first is not None and outcome.status < 400:
            one.first.observe(first)
            if answered is not None and answered > 1:
                rest = outcome.seconds - first
                one.each.observe(rest / (answered - 1) if rest > 0.0 else 0.0)

    def fold(self) -> None:
        """Count what waits to be counted."""
        for one in self._series.values():
            for histogram in (one.input, one.output, one.duration, one.first, one.each):
                histogram.fold()

    def collect(self) -> Iterator[Metric]:
        """The families, for Prometheus."""
        tokens = HistogramMetricFamily(
            "gen_ai_client_token_usage", "Tokens of one request, by kind.", labels=(*_LABELS, "gen_ai_token_type")
        )
        duration = HistogramMetricFamily(
            "gen_ai_client_operation_duration_seconds", "How long an AI request took in all.", labels=_LABELS
        )
        first = HistogramMetricFamily(
            "gen_ai_server_time_to_first_token_seconds", "Until the first byte of an AI answer.", labels=_LABELS
        )
        each = HistogramMetricFamily(
            "gen_ai_server_time_per_output_token_seconds", "From one token of an answer to the next.", labels=_LABELS
        )
        for (name, service, model), one in self._series.items():
            labels = (name, self.providers.get(service, service), model)
            one.input.tell(tokens, (*labels, "input"))
            one.output.tell(tokens, (*labels, "output"))
            one.duration.tell(duration, labels)
            one.first.tell(first, labels)
            one.each.tell(each, labels)
        yield from (tokens, duration, first, each)
