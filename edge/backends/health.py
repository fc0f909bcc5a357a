"""Asking a server if it is well, or what it is."""

import json
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from edge.core.headers import Pair
from edge.core.service import Question

LONGEST: Final = 256 * 1024
"""Bytes of an answer that are read; a longer one is judged by its beginning."""

AGENT: Final = b"aigate"


async def recognised(agent: IAgent, clock: IReactorTime, base: str, question: Question, timeout: float) -> bool:
    """Whether the server at a base address answers a question as this kind of server does, within `timeout` seconds.

    Never raises: whatever goes wrong is a no.
    """
    url = (base.rstrip("/") + question.path).encode("ascii")
    response, body = await _asked(agent, clock, url, timeout, LONGEST if question.key or question.text else 0)
    return response is not None and judge(question, response, body)


async def well(agent: IAgent, clock: IReactorTime, url: Any, timeout: float) -> bool:
    """Whether a server answers at all, within `timeout` seconds, with anything but a failure of its own (5xx).

    `url` is whatever the agent takes as one: bytes, or for agents of ours a target with a path. Who named its address knows what it is: a 401 or a 404 comes from a server that runs. Never raises.
    """
    response, _ = await _asked(agent, clock, url, timeout, 0)
    return response is not None and response.code < 500


async def told(
    agent: IAgent, clock: IReactorTime, url: Any, timeout: float, most: int, fields: Iterable[Pair] = ()
) -> bytes:
    """At most `most` bytes of what a server tells at a URL, b"" where it does not answer 200 in time. Never raises.

    `fields` are sent along, for a server that answers nobody without.
    """
    response, body = await _asked(agent, clock, url, timeout, most, fields)
    return body if response is not None and response.code == 200 else b""


def judge(question: Question, response: IResponse, body: bytes) -> bool:
    """Whether an answer is the one that a question expects."""
    if response.code not in question.status:
        return False
    if question.header:
        name, _, value = question.header.partition(":")
        given = response.headers.getRawHeaders(name.strip(), [])
        if not given or (value and value.strip().lower() not in (one.strip().lower() for one in given)):
            return False
    if question.text and question.text not in body.decode("utf-8", "replace"):
        return False
    if question.key:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return isinstance(value, dict) and question.key in value
    return True


async def _asked(
    agent: IAgent, clock: IReactorTime, url: Any, timeout: float, most: int, fields: Iterable[Pair] = ()
) -> tuple[IResponse | None, bytes]:
    headers = Headers({b"accept": [b"application/json, */*"], b"user-agent": [AGENT]})
    for name, value in fields:
        headers.setRawHeaders(name, [value])

    async def ask() -> tuple[IResponse | None, bytes]:
        response = await agent.request(b"GET", url, headers, None)
        reader = Reader(most)
        response.deliverBody(reader)
        return response, await reader.done

    asking = Deferred.fromCoroutine(ask())
    asking.addTimeout(timeout, clock)
    try:
        return await asking
    except Exception:
        # Refused, cut, timed out, not HTTP: to whoever asks it is all the same silence.
        return None, b""


@define(eq=False)
class Reader(Protocol):
    """Reads the beginning of a body, and ends the connection where there is more."""

    most: int
    done: "Deferred[bytes]" = field(init=False)
    _parts: bytearray = field(factory=bytearray, init=False)

    @done.default
    def _waiting(self) -> "Deferred[bytes]":
        return Deferred(lambda _: self._leave())

    def connectionMade(self) -> None:
        if not self.most:
            self._leave()

    def dataReceived(self, data: bytes) -> None:
        self._parts += data[: self.most - len(self._parts)]
        if len(self._parts) >= self.most:
            self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(bytes(self._parts))

    def _leave(self) -> None:
        # The transport of a response's body is documented to have no loseConnection; those that can be stopped are.
        if self.transport is not None:
            stop = getattr(self.transport, "abortConnection", None) or getattr(self.transport, "loseConnection", None)
            if stop is not None:
                stop()
        if not self.done.called:
            self.done.callback(bytes(self._parts))
