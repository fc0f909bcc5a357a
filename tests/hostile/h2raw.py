"""HTTP/2 as bytes: frames by hand, and the h2 library where it is lenient enough for what a test wants to send."""

import select
import time
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.settings
from hpack import Encoder

from tests.hostile.raw import Client
from tests.live.gate import Gate

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(**pairs: int) -> bytes:
    names = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "heads": 6}
    body = b"".join(names[name].to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs.items())
    return frame(SETTINGS, 0, 0, body)


class Frames:
    """A connection whose frames a test writes itself."""

    def __init__(self, gate: Gate, listener: str = "https", window: int = 0, first: bytes | None = None) -> None:
        self.gate = gate
        self.client = Client(gate, listener, alpn="h2" if listener == "https" else None, window=window)
        self.encoder = Encoder()
        self.seen: list[tuple[int, int, int, bytes]] = []
        """(type, flags, stream, payload) of every frame that came."""
        self.send(PREFACE + (settings() if first is None else first))

    def send(self, data: bytes) -> "Frames":
        self.client.send(data)
        return self

    def block(self, *pairs: tuple[str | bytes, str | bytes]) -> bytes:
        return self.encoder.encode(
            [(n if isinstance(n, bytes) else n.encode(), v if isinstance(v, bytes) else v.encode()) for n, v in pairs],
            huffman=False,
        )

    def request(self, path: str, method: str = "GET", key: str | None = "") -> list[tuple[str | bytes, str | bytes]]:
        made: list[tuple[str | bytes, str | bytes]] = [
            (":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path),
        ]  # fmt: skip
        return made if key is None else [*made, ("x-api-key", key or self.gate.key)]

    def ask(self, stream: int, path: str, method: str = "GET", end: bool = True, key: str | None = "") -> "Frames":
        flags = END_HEADERS | (END_STREAM if end else 0)
        return self.send(frame(HEADERS, flags, stream, self.block(*self.request(path, method, key))))

    def take(self) -> bool:
        """Reads once; False at the end of the connection or of patience."""
        more = self.client.more()
        held = self.client.held
        while len(held) >= 9 and len(held) >= 9 + int.from_bytes(held[:3], "big"):
            size = int.from_bytes(held[:3], "big")
            self.seen.append((held[3], held[4], int.from_bytes(held[5:9], "big"), held[9 : 9 + size]))
            held = held[9 + size :]
        self.client.held = held
        return more

    def until(self, kind: int, stream: int | None = None, flags: int = 0, seconds: float = 5.0) -> bytes | None:
        """The payload of the first such frame, None where none comes."""
        end = time.monotonic() + seconds
        at = 0
        while True:
            while at < len(self.seen):
                had, set_, of, payload = self.seen[at]
                at += 1
                if had == kind and (stream is None or of == stream) and set_ & flags == flags:
                    return payload
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.client.line.settimeout(left)
            if not self.take() and at == len(self.seen):
                return None

    def ended(self, seconds: float = 5.0) -> str:
        """How the connection ended, `waiting` where it did not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.client.line.settimeout(max(0.01, end - time.monotonic()))
            if not self.take():
                break
        return self.client.ended

    def flood(self, block: Callable[[], bytes], seconds: float, patience: float) -> str:
        """Sends blocks for a while and reads meanwhile; how the connection ended, `waiting` where it did not.

        In one thread: two that use one connection of OpenSSL's at a time may crash the process.
        """
        line, begun = self.client.line, time.monotonic()
        left = b""
        line.settimeout(0.01)
        while (passed := time.monotonic() - begun) < patience:
            if passed < seconds:
                left = left or block()
                try:
                    left = left[line.send(left[:16384]) :]
                except TimeoutError:
                    pass
                except OSError:
                    seconds = 0
            readable = line.pending() or select.select([line], [], [], 0 if passed < seconds else 0.05)[0]
            if readable and not self.take() and self.client.ended != "waiting":
                break
        return self.client.ended or "waiting"

    def code(self, kind: int = GOAWAY) -> int | None:
        """The error code of the last GOAWAY or RST_STREAM that was seen."""
        for had, _, _, payload in reversed(self.seen):
            if had == kind:
                return int.from_bytes(payload[4:8] if kind == GOAWAY else payload[:4], "big")
        return None

    def status(self, stream: int) -> int | None:
        """The status of a stream's answer; the gate writes heads without a table, so each can be read alone."""
        from hpack import Decoder

        payload = self.until(HEADERS, stream)
        if payload is None:
            return None
        return int(dict(Decoder().decode(payload))[":status"])

    def close(self) -> None:
        self.client.close()


class H2:
    """A connection by the h2 library, which says what the protocol says."""

    def __init__(self, gate: Gate, listener: str = "https", window: int | None = None) -> None:
        self.client = Client(gate, listener, alpn="h2" if listener == "https" else None)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.gate = gate
        self.credit = True
        self.events: list[h2.events.Event] = []
        self.flush()

    def flush(self) -> None:
        self.client.send(self.h2.data_to_send())

    def ask(self, method: str, path: str, *fields: tuple[str, str], end: bool = True, key: str | None = "") -> int:
        number = self.h2.get_next_available_stream_id()
        pairs = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path), *fields]
        if key is not None:
            pairs.append(("x-api-key", key or self.gate.key))
        self.h2.send_headers(number, pairs, end_stream=end)
        self.flush()
        return number

    def upload(self, number: int, size: int) -> int:
        """Sends as much of `size` bytes as the windows allow; how much that was."""
        sent = 0
        while sent < size:
            room = min(size - sent, self.h2.local_flow_control_window(number), 16384)
            if room <= 0:
                break
            self.h2.send_data(number, bytes(room))
            sent += room
        self.flush()
        return sent

    def read(self, seconds: float) -> list[h2.events.Event] | None:
        """The events of one read, None where the connection ended."""
        self.client.line.settimeout(seconds)
        if not self.client.more():
            return [] if self.client.ended == "waiting" else None
        data, self.client.held = self.client.held, b""
        came = self.h2.receive_data(data)
        for event in came:
            if self.credit and isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.events += came
        self.flush()
        return came

    def until(self, kind: type[h2.events.Event], number: int = 0, seconds: float = 8.0) -> h2.events.Event | None:
        """The first event of a kind (of a stream), None where the connection ends or time is over."""
        end = time.monotonic() + seconds
        at = 0
        while True:
            while at < len(self.events):
                event = self.events[at]
                at += 1
                if isinstance(event, kind) and (not number or getattr(event, "stream_id", 0) == number):
                    return event
            left = end - time.monotonic()
            if left <= 0 or self.read(left) is None:
                return None

    def status(self, number: int, seconds: float = 8.0) -> int | None:
        """The status of a stream's answer."""
        event = self.until(h2.events.ResponseReceived, number, seconds)
        return None if event is None else int(dict(event.headers)[b":status"])  # type: ignore[attr-defined]

    def body(self, number: int) -> bytes:
        return b"".join(
            event.data for event in self.events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == number
        )  # fmt: skip

    def close(self) -> None:
        self.client.close()
