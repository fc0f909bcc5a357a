"""An HTTP/2 connection in memory: our server on one end, the h2 library or raw frames on the other."""

from socket import socketpair

from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from edge.wire.h2_frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    head,
)
from edge.wire.http2 import Http2
from edge.wire.limits import WireLimits
from edge.wire.request import Origin
from edge.wire.server import Server

HERE = IPv4Address("TCP", "127.0.0.1", 8443)
THERE = IPv4Address("TCP", "192.0.2.7", 40000)
ORIGIN = Origin("192.0.2.7", True, "https", HERE, THERE)

GET = [(":method", "GET"), (":scheme", "https"), (":authority", "gate.example"), (":path", "/a?b=c")]
POST = [(":method", "POST"), *GET[1:]]
CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]]


_PAIR = socketpair()


class Wire:
    """A transport that keeps what is written, and is full once more than `room` bytes wait."""

    offset = 0
    _tempDataLen = 0
    disconnecting = False
    socket = _PAIR[0]

    def __init__(self, room=None):
        self.dataBuffer = b""
        self.room = room
        self.writes = 0
        self.producer = None
        self.full = False
        self.closing = False
        self.aborted = False
        self.held = False
        self.holds = 0

    def write(self, data):
        assert type(data) is bytes and data
        if self.closing:
            return  # as TLS does
        self.writes += 1
        self.dataBuffer += data
        if self.room is not None and len(self.dataBuffer) > self.room and not self.full:
            self.full = True
            if self.producer is not None:
                self.producer.pauseProducing()

    def take(self, most=None):
        """What the client reads; the transport has room again when all is read."""
        data, self.dataBuffer = (
            (self.dataBuffer, b"") if most is None else (self.dataBuffer[:most], self.dataBuffer[most:])
        )
        if not self.dataBuffer and self.full:
            self.full = False
            if self.producer is not None:
                self.producer.resumeProducing()
        return data

    def pauseProducing(self):
        assert not self.held
        self.held = True
        self.holds += 1

    def resumeProducing(self):
        self.held = False

    def registerProducer(self, producer, streaming):
        assert self.producer is None and streaming
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def loseConnection(self):
        self.closing = True

    def abortConnection(self):
        self.aborted = True


class Watch:
    def add(self, transport, gone): ...
    def discard(self, transport): ...


@define
class Hand:
    """A handler that keeps the requests, and does with each what it is told."""

    do: object = None
    requests: list = field(factory=list)
    refusals: list = field(factory=list)

    def handle(self, request):
        request.lost_with = []
        request.gone = request.lost_with.append
        self.requests.append(request)
        if self.do is not None:
            self.do(request)

    def refuse(self, refusal, origin, protocol):
        assert origin is ORIGIN and protocol == "HTTP/2.0"
        self.refusals.append(refusal)
        return [(b"x-aigate-reason", refusal.reason.encode())], refusal.message.encode()

    def give_up(self, request, refusal, reason):
        self.refusals.append(refusal)
        request.reply(refusal.status, [(b"x-aigate-reason", refusal.reason.encode())], refusal.message.encode())
        request.body.fail(reason)
        request.lost_with.append(reason)


class Sink:
    """Takes a body; can refuse to take more."""

    def __init__(self):
        self.data = b""
        self.producer = None
        self.done = []

    def registerProducer(self, producer, streaming):
        self.producer = producer

    def unregisterProducer(self):
        self.producer = None

    def write(self, data):
        self.data += data

    def drink(self, request):
        request.body.startProducing(self).addCallbacks(self.done.append, self.done.append)
        return self


class Source:
    """Gives an answer's body; remembers whether it is paused."""

    def __init__(self):
        self.paused = False
        self.pauses = 0

    def pauseProducing(self):
        self.paused = True
        self.pauses += 1

    def resumeProducing(self):
        self.paused = False

    def stopProducing(self): ...


def frames_in(data):
    """(type, flags, stream, payload) of each frame."""
    out = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size, "a frame is cut"
        out.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return out


class Base:
    def __init__(self, do=None, room=None, **limits):
        self.clock = Clock()
        self.clock.advance(1000)
        self.hand = Hand(do)
        self.read = b""
        self.server = Server(self.hand, self.clock, Watch(), WireLimits(**limits), wall=self.clock.seconds)
        self.wire = Wire(room)
        self.http2 = Http2(self.server, ORIGIN)
        self.http2.makeConnection(self.wire)

    @property
    def request(self):
        return self.hand.requests[-1]

    def wait(self, seconds, reads=True):
        """Time passes as the server's clock sees it: a look at the deadlines each second. The client `reads` meanwhile."""
        for _ in range(int(seconds)):
            if reads:
                self.read += self.wire.take()
            self.clock.advance(1)
            for connection in tuple(self.server.connections):
                connection.check(self.clock.seconds())

    def leave(self, clean=False):
        self.http2.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))


class Talk(Base):
    """With the h2 library as the client."""

    def __init__(self, do=None, room=None, settings=None, **limits):
        super().__init__(do, room, **limits)
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.client.local_settings.update(settings or {})
        self.client.initiate_connection()
        self.events = []
        self.pump()

    def pump(self):
        """Bytes go both ways until neither has more."""
        while True:
            out, back = self.client.data_to_send(), self.read + self.wire.take()
            self.read = b""
            if not out and not back:
                return self.events
            if out:
                self.http2.dataReceived(out)
            if back:
                self.events += self.client.receive_data(back)

    def ask(self, fields=GET, body=None, end=True):
        """Opens a stream; its number."""
        number = self.client.get_next_available_stream_id()
        self.client.send_headers(number, fields, end_stream=end and body is None)
        if body is not None:
            self.client.send_data(number, body, end_stream=end)
        self.pump()
        return number

    def of(self, number, kind):
        """The events of one kind on one stream."""
        return [event for event in self.events if type(event) is kind and getattr(event, "stream_id", None) == number]

    def take(self, number):
        """Gives the client's window for a stream back, as if all was read."""
        for event in self.events:
            if type(event).__name__ == "DataReceived" and event.stream_id == number and event.flow_controlled_length:
                self.client.acknowledge_received_data(event.flow_controlled_length, number)
                event.flow_controlled_length = 0
        self.pump()

    def status(self, number):
        from h2.events import ResponseReceived

        (answer,) = self.of(number, ResponseReceived)
        return int(dict(answer.headers)[":status"])

    def body(self, number):
        from h2.events import DataReceived

        return b"".join(event.data for event in self.of(number, DataReceived))


class Raw(Base):
    """With hand-made frames."""

    def __init__(self, do=None, room=None, greet=True, settings=(), **limits):
        super().__init__(do, room, **limits)
        self.encoder = Encoder()
        if greet:
            self.send(
                PREFACE,
                frame(SETTINGS, 0, 0, b"".join(n.to_bytes(2, "big") + v.to_bytes(4, "big") for n, v in settings)),
            )
            self.frames()

    def send(self, *parts):
        self.http2.dataReceived(b"".join(parts))

    def headers(self, number, fields=GET, end=True, flags=END_HEADERS):
        block = self.encoder.encode([(n, v) for n, v in fields], huffman=False)
        return frame(HEADERS, flags | (END_STREAM if end else 0), number, block)

    def frames(self, kind=None):
        """What came since; of one kind where said."""
        found = frames_in(self.read + self.wire.take())
        self.read = b""
        return found if kind is None else [one for one in found if one[0] == kind]

    def goaway(self):
        """The code of the GOAWAY that came, None for none."""
        found = self.frames(GOAWAY)
        return int.from_bytes(found[-1][3][4:8], "big") if found else None


def frame(kind, flags, number, payload=b""):
    return head(len(payload), kind, flags, number) + payload


def data(number, payload=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, number, payload)


def reset(number, code=8):
    return frame(RST_STREAM, 0, number, code.to_bytes(4, "big"))


def window(number, size):
    return frame(WINDOW_UPDATE, 0, number, size.to_bytes(4, "big"))
