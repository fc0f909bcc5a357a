"""A request's body between the wire and whoever takes it."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from edge.wire.body import NO_BODY, Body, BodyLostError, BodyTooLargeError
from edge.wire.head import CHUNKED


class Source:
    """Writes down what the body asks of the wire."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def want_body(self) -> None:
        self.said.append("want")

    def pause_body(self) -> None:
        self.said.append("pause")

    def resume_body(self) -> None:
        self.said.append("resume")

    def drop_body(self) -> None:
        self.said.append("drop")


class Consumer:
    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.data.append(data)


def made(length: int = CHUNKED) -> tuple[Body, Source, Consumer]:
    source = Source()
    return Body(length, source), source, Consumer()


def test_bytes_that_nobody_wants_yet_are_held_and_the_wire_is_paused() -> None:
    body, source, consumer = made()
    body.feed(b"a")
    assert source.said == ["pause"]
    finished = body.startProducing(consumer)
    assert consumer.data == [b"a"]
    assert source.said == ["pause", "want", "resume"]
    body.feed(b"b")
    body.end()
    assert consumer.data == [b"a", b"b"]
    assert consumer.producer is None
    assert finished.called


def test_a_look_at_the_whole_leaves_it_for_whoever_produces_it_afterwards() -> None:
    body, _, consumer = made()
    looked = Deferred.fromCoroutine(body.read(10))
    body.feed(b"abc")
    body.feed(b"def")
    body.end()
    assert looked.result == b"abcdef"
    body.startProducing(consumer)
    assert consumer.data == [b"abcdef"]


def test_what_is_kept_is_here_though_it_was_taken_and_only_when_all_of_it_came() -> None:
    body, taker = Body(6, Source()), Consumer()
    body.feed(b"ab")
    body.keep()
    body.startProducing(taker)
    body.feed(b"cd")
    body.feed(b"ef")
    assert body.whole is None
    body.end()
    assert taker.data == [b"ab", b"cd", b"ef"] and body.whole == b"abcdef"


def test_what_is_kept_goes_with_a_client_that_leaves() -> None:
    body = Body(6, Source())
    body.keep()
    body.startProducing(Consumer()).addErrback(lambda _: None)
    body.feed(b"abcd")
    body.fail(Failure(BodyLostError()))
    assert body.whole is None and not body._held


@pytest.mark.parametrize("length", [100, CHUNKED])
def test_more_than_a_look_may_hold_is_refused_and_no_more_is_held(length: int) -> None:
    body, _, _ = made(length)
    looked = Deferred.fromCoroutine(body.read(5))
    if length == CHUNKED:
        body.feed(b"abc")
        assert not looked.called
        body.feed(b"def")
    looked.addErrback(lambda failure: failure.trap(BodyTooLargeError) and None)
    assert looked.called


def test_more_than_the_gate_takes_ends_an_upload_without_length() -> None:
    body, source, consumer = made()
    body.most = 4
    finished = body.startProducing(consumer)
    body.feed(b"abc")
    body.feed(b"de")
    assert consumer.data == [b"abc"]
    assert source.said[-1] == "drop"
    assert isinstance(finished.result, Failure)
    finished.addErrback(lambda failure: failure.trap(BodyTooLargeError) and None)
    body.feed(b"f")
    assert consumer.data == [b"abc"]


def test_a_client_that_leaves_fails_whoever_waits_and_frees_what_was_held() -> None:
    body, _, consumer = made()
    finished = body.startProducing(consumer)
    body.fail(Failure(ConnectionError("left")))
    finished.addErrback(lambda failure: failure.trap(ConnectionError) and None)
    body.feed(b"late")
    body.end()
    assert consumer.data == []
    body, _, _ = made()
    looked = Deferred.fromCoroutine(body.read(10))
    body.feed(b"a")
    body.fail(Failure(ConnectionError("left")))
    looked.addErrback(lambda failure: failure.trap(BodyLostError) and None)
    assert looked.called


def test_a_taker_that_leaves_drops_the_rest() -> None:
    body, source, consumer = made()
    finished = body.startProducing(consumer)
    body.stopProducing()
    assert source.said[-1] == "drop"
    finished.addErrback(lambda failure: failure.trap(CancelledError) and None)
    body, source, consumer = made()
    body.startProducing(consumer)
    body.end()
    body.stopProducing()
    assert "drop" not in source.said, "there is no rest"


def test_no_body_is_complete_the_same_for_all_and_cannot_be_changed() -> None:
    consumer = Consumer()
    finished = NO_BODY.startProducing(consumer)
    assert finished.called and consumer.data == [] and consumer.producer is None
    assert (NO_BODY.length, NO_BODY.received, NO_BODY.complete, NO_BODY.whole) == (0, 0, True, b"")
    with pytest.raises(StopIteration) as read:
        NO_BODY.read(10).send(None)
    assert read.value.value == b""
    NO_BODY.fail(Failure(CancelledError()))
    NO_BODY.stopProducing()
    for name in ("received", "most", "whole"):
        with pytest.raises(AttributeError):
            setattr(NO_BODY, name, 1)
