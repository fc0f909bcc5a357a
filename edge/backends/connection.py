"""HTTP/1.1 towards an upstream (RFC 9112): one request in hand at a time, answers read strictly and in bounded memory."""

import select
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from edge.backends.answer import DONE, Answer
from edge.backends.errand import Errand
from edge.backends.failures import UpstreamBroken, UpstreamFailure, UpstreamRefused, UpstreamTimeout, words
from edge.backends.keeper import Keeper
from edge.backends.reader import AnswerReader
from edge.backends.tunnel import Switched, UpstreamTunnel
from edge.backends.upload import Upload
from edge.wire.head import AnswerHead, BadHead

CLOSING: Final = 10.0
"""Seconds for an upstream to take part in an orderly close."""
_ANYTHING: Final = select.POLLIN | getattr(select, "POLLRDHUP", 0)

_CONNECTING, _HEAD, _BODY, _IDLE, _TUNNEL, _CLOSING, _CLOSED = range(7)


@implementer(IHandshakeListener)
class UpstreamConnection(Protocol):
    """One connection. It is made for an errand, and may serve more of them afterwards."""

    transport: Any

    def __init__(self, keeper: Keeper, errand: Errand) -> None:
        self.target = errand.target
        self.since = keeper.now
        """When it became idle, or when the wait that it is in began."""
        self.soonest = 0.0
        """Seconds after `since` in which there is nothing to look for."""
        self._keeper = keeper
        self._errand: Errand | None = errand
        self._timeouts = errand.timeouts
        self._state = _CONNECTING
        self._poll: select.poll | None = None
        self._answer: Answer | None = None
        self._upload: Upload | None = None
        self._tunnel: UpstreamTunnel | None = None
        self._reader = AnswerReader(keeper.bounds)
        self._paused = self._reused = False

    # The life of the connection

    def connectionMade(self) -> None:
        errand = self._errand
        if errand is None or errand.connection is not None:
            # Addresses of one name are raced, and another one won.
            self._errand = None
            self._state = _CLOSED
            self.transport.abortConnection()
            return
        errand.connection = self
        below = self.transport
        while (deeper := getattr(below, "transport", None)) is not None:
            below = deeper
        if (descriptor := getattr(below, "fileno", None)) is not None:
            self._poll = select.poll()
            self._poll.register(descriptor(), _ANYTHING)
        if self.target.scheme != "unix":
            self.transport.setTcpNoDelay(True)
        self._keeper.opened(self)
        if self.target.tls is None:
            self.begin(errand)

    def handshakeCompleted(self) -> None:
        if self._state == _CONNECTING and self._errand is not None:
            self.begin(self._errand)

    def begin(self, errand: Errand) -> None:
        """Sends a request; the connection has none in hand."""
        self._errand = errand
        self._timeouts = errand.timeouts
        errand.connection = self
        self._state = _HEAD
        self.since = self._keeper.now
        if errand.body is None:
            self.soonest = errand.timeouts.shortest
            self.transport.write(errand.wire)
        else:
            # Whose turn it is may change within an upload at any time.
            self.soonest = 0.0
            self._upload = Upload(self, errand.wire, errand.body)
            self._upload.start()

    def fresh(self) -> bool:
        """Whether an idle connection can be used: open, and with nothing to be read, be it bytes or the end."""
        # The reactor would tell in its next turn, and the question may be one that must not be asked twice.
        return self._state == _IDLE and (self._poll is None or not self._poll.poll(0))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        state, self._state = self._state, _CLOSED
        self._poll = None
        self._keeper.closed(self)
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.stop()
        errand, self._errand = self._errand, None
        answer, self._answer = self._answer, None
        tunnel, self._tunnel = self._tunnel, None
        if errand is not None:
            if state == _CONNECTING:
                errand.fail(Failure(self._unreached(reason)))
            elif self._reused and errand.repeatable and not self._reader.started:
                errand.connection = None
                self._keeper.repeat(errand)
            else:
                errand.fail(Failure(UpstreamBroken(self.target.name, f"no answer: {words(reason)}")))
        elif answer is not None:
            if state == _BODY and self._reader.until_close and reason.check(ConnectionDone):
                answer.finish(Failure(PotentialDataLoss()))
            else:
                broken = UpstreamBroken(self.target.name, f"the answer was cut: {words(reason)}")
                answer.finish(Failure(ResponseFailed([Failure(broken), reason])))
        elif tunnel is not None:
            tunnel.lost(reason)

    def _unreached(self, reason: Failure) -> UpstreamFailure:
        """Why there is no connection that can be used."""
        if reason.check(ConnectionAborted):
            # Only TLS's own deadline for the handshake aborts one that somebody waits for.
            return UpstreamTimeout(self.target.name, "connect", self._timeouts.connect)
        return UpstreamRefused(self.target.name, words(reason))

    def forget(self) -> None:
        """Whoever waited for an answer's head no longer does: closed at once, nobody is told."""
        self._errand = None
        self.abort()

    def abort(self) -> None:
        """Closed at once; whoever reads the body is told when it is."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSED
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.stop()
        self.transport.abortConnection()

    def close(self) -> None:
        """Closed in an orderly way; nothing is in hand."""
        if self._state in (_CLOSING, _CLOSED):
            return
        self._state = _CLOSING
        self.since = self._keeper.now
        self.soonest = 0.0
        self.resume()
        self.transport.loseConnection()

    def _fail(self, why: UpstreamFailure) -> None:
        """Closed at once, and whoever waits is told why."""
        self._end(Failure(why), ResponseFailed([Failure(why)]))

    def _end(self, for_errand: Failure, for_answer: Exception) -> None:
        errand, self._errand = self._errand, None
        answer, self._answer = self._answer, None
        self.abort()
        if errand is not None:
            errand.fail(for_errand)
        elif answer is not None:
            answer.finish(Failure(for_answer))

    def _broken(self, why: str) -> None:
        self._fail(UpstreamBroken(self.target.name, why))

    # Deadlines

    def touch(self) -> None:
        """What is waited for begins now."""
        self.since = self._keeper.now

    def check(self, now: float) -> None:
        """Looks for what took too long; `since` may be up to a period too old, and no wait is cut short by that."""
        state = self._state
        waited = now - self.since - self._keeper.period
        timeouts = self._timeouts
        if state == _HEAD:
            if self._upload is not None and not self._upload.stalled:
                self.since = now
            elif waited > timeouts.first_byte:
                self._fail(UpstreamTimeout(self.target.name, "first_byte", timeouts.first_byte))
        elif state == _BODY:
            answer = self._answer
            reader_waits = not self._paused or (answer is not None and answer.unread)
            if not reader_waits or (self._upload is not None and not self._upload.stalled):
                self.since = now
            elif waited > timeouts.idle:
                self._fail(UpstreamTimeout(self.target.name, "idle", timeouts.idle))
        elif state == _CONNECTING:
            if waited > timeouts.connect:
                self._fail(UpstreamTimeout(self.target.name, "connect", timeouts.connect))
        elif state == _CLOSING and waited > CLOSING:
            self.abort()

    # Flow

    def pause(self) -> None:
        if not self._paused and self._state in (_BODY, _TUNNEL):
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self.since = self._keeper.now
            if self._state != _CLOSED:
                self.transport.resumeProducing()

    def uploaded(self) -> None:
        """The whole request has been written."""
        self._upload = None
        self.since = self._keeper.now

    def upload_failed(self, reason: Failure) -> None:
        """The request will never be whole, so the upstream must not take it for whole."""
        self._upload = None
        self._end(reason, ResponseFailed([reason]))

    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        state = self._state
        if state == _BODY:
            self._take_body(data)
        elif state == _HEAD:
            self._take_head(data)
        elif state == _TUNNEL:
            assert self._tunnel is not None
            self._tunnel.feed(data)
        elif state in (_IDLE, _CONNECTING):
            # Nobody asked: what comes now could be taken for the answer to the next question.
            self._broken("it sent bytes that nobody asked for")

    def _take_head(self, data: bytes) -> None:
        reader = self._reader
        try:
            while True:
                head = reader.head(data)
                if head is None:
                    return
                if head.status == 101:
                    self._switch(head, reader.rest)
                    return
                if head.status >= 200:
                    self._take_answer(head, reader.rest)
                    return
                data = reader.rest
                self._take_interim(head)
                if self._state != _HEAD or not data:
                    return
        except BadHead as error:
            self._broken(f"the answer is malformed: {error}")

    def _take_interim(self, head: AnswerHead) -> None:
        errand = self._errand
        self.since = self._keeper.now
        # 100 answers an Expect, and what a client expects was answered at the door.
        if errand is not None and errand.inform is not None and head.status != 100:
            errand.inform(head.status, head.fields.pairs)

    def _take_answer(self, head: AnswerHead, data: bytes) -> None:
        errand = self._errand
        assert errand is not None
        reader = self._reader
        length = reader.expect(head, errand.bodyless)
        if errand.last:
            reader.keep = False
        payload, done = reader.body(data)
        self._errand = None
        if done:
            self._complete()
            errand.succeed(Answer(head, length, payload))
            return
        self._answer = answer = Answer(head, length)
        answer.connection = self
        self._state = _BODY
        self.since = self._keeper.now
        if self._upload is not None and head.status >= 400:
            # The upstream has made up its mind; an answer that is no error may come while it still reads.
            upload, self._upload = self._upload, None
            upload.stop()
            reader.keep = False
        errand.succeed(answer)
        if payload and self._answer is answer:
            answer.feed(payload)

    def _take_body(self, data: bytes) -> None:
        self.since = self._keeper.now
        try:
            payload, done = self._reader.body(data)
        except BadHead as error:
            self._broken(f"the answer is malformed: {error}")
            return
        answer = self._answer
        assert answer is not None
        if payload:
            answer.feed(payload)
        if done and self._state == _BODY:
            self._answer = None
            self._complete()
            answer.finish(DONE)

    def _complete(self) -> None:
        """The answer is whole: the connection is kept for the next request, or closed."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.stop()
            self._state = _CLOSED
            self.transport.abortConnection()
            return
        if self._paused:
            self.resume()
        if self._reader.keep:
            self._reused = True
            self._reader.begin()
            self._state = _IDLE
            self.since = self._keeper.now
            if self._keeper.release(self):
                return
        self.close()

    # A switch of protocols

    def _switch(self, head: AnswerHead, rest: bytes) -> None:
        errand = self._errand
        assert errand is not None
        if errand.upgrade is None or head.upgrade != errand.upgrade:
            self._broken("it switched to a protocol that was not asked for")
        elif errand.accept is not None and head.fields.all(b"sec-websocket-accept") != [errand.accept]:
            self._broken("its Sec-WebSocket-Accept does not belong to the key that was sent")
        else:
            self._errand = None
            self._state = _TUNNEL
            self._tunnel = tunnel = UpstreamTunnel(self, rest)
            self.pause()
            errand.succeed(Switched(head.fields, tunnel))
