"""No answer ever reaches the wrong caller: a thousand mixed requests at once, many of them cut off in the middle."""

import random
import threading

import pytest

from tests.hostile.h2raw import H2
from tests.hostile.raw import Client
from tests.hostile.rogue import Line, Rogue
from tests.live.gate import Gate

pytestmark = pytest.mark.live

CONNECTIONS = 125
EACH = 8
SEED = 7


def _way(mark: str) -> int:
    return random.Random(mark).randrange(4)


def _mirror(line: Line) -> None:
    """Answers with what was asked, in one of four ways, at a pace of its own."""
    body = line.body()
    mark = line.field("X-Mark") or ""
    answer = f"{mark}|".encode() * (1 + hash(mark) % 3000) + body
    how = _way(mark)
    if how == 0:
        line.send(
            b"HTTP/1.1 200 OK\r\nX-Mark: %b\r\nContent-Length: %d\r\n\r\n" % (mark.encode(), len(answer)) + answer
        )
    elif how == 1:
        line.send(b"HTTP/1.1 200 OK\r\nX-Mark: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % mark.encode())
        for at in range(0, len(answer), 7000):
            part = answer[at : at + 7000]
            line.send(b"%x\r\n%b\r\n" % (len(part), part))
        line.send(b"0\r\n\r\n")
    elif how == 2:
        line.send(b"HTTP/1.1 103 Early\r\nX-Mark: %b\r\n\r\n" % mark.encode())
        line.send(b"HTTP/1.1 200 OK\r\nX-Mark: %b\r\nContent-Length: %d\r\n\r\n" % (mark.encode(), len(answer)))
        line.send(answer)
    else:
        # The wrong length, so that the connection breaks with the answer half given.
        line.send(b"HTTP/1.1 200 OK\r\nX-Mark: %b\r\nContent-Length: %d\r\n\r\n" % (mark.encode(), len(answer) + 9))
        line.send(answer)
        line.reset()
        raise_left()


def raise_left() -> None:
    from tests.hostile.rogue import Left

    raise Left


def test_a_thousand_mixed_requests_with_aborts_never_mix(gate: Gate, rogue: Rogue) -> None:
    path = "/any/api" + rogue.on("/mirror", _mirror)
    wrong: list[str] = []
    whole = [0]
    lock = threading.Lock()

    def judge(mark: str, seen: str | None, body: bytes, sent: bytes, complete: bool) -> None:
        piece = f"{mark}|".encode()
        expected = piece * (1 + hash(mark) % 3000) + sent
        with lock:
            if seen not in (None, mark) or not expected.startswith(body[: len(expected)]):
                wrong.append(f"{mark}: {seen} {body[:60]!r}")
            elif complete and body != expected:
                wrong.append(f"{mark}: complete with {len(body)} of {len(expected)} bytes")
            whole[0] += complete

    def one(number: int) -> None:
        chance = random.Random(SEED * 1000 + number)
        sort = number % 3
        at = 0
        while at < EACH:
            if sort == 2:
                at = over_h2(number, at, chance)
                continue
            with Client(gate, "https" if sort else "plain", timeout=30) as client:
                while at < EACH:
                    mark = f"m{number}x{at}"
                    at += 1
                    sent = bytes(mark, "ascii") * chance.randrange(1, 400) if chance.random() < 0.5 else b""
                    method = "POST" if sent else "GET"
                    fields = [f"X-Mark: {mark}"] + ([f"Content-Length: {len(sent)}"] if sent else [])
                    head = client.head(method, path, *fields)
                    cut = chance.random()
                    if cut < 0.2:
                        client.send((head + sent)[: chance.randrange(1, len(head + sent))])
                        client.reset() if cut < 0.1 else client.close()
                        break
                    client.send(head + sent)
                    if cut < 0.3:
                        client.more()
                        client.close()
                        break
                    got = client.take(30)
                    if got.status == 200:
                        judge(mark, got.field("x-mark"), got.body, sent, got.end == "complete")
                    if got.end != "complete" or got.closes:
                        break

    def over_h2(number: int, at: int, chance: random.Random) -> int:
        import h2.events

        talk = H2(gate)
        talk.client.line.settimeout(30)
        asked = {}
        for turn in range(at, EACH):
            mark = f"m{number}x{turn}"
            asked[talk.ask("GET", path, ("x-mark", mark))] = mark
        for stream in list(asked):
            # This client's library takes an interim answer that crosses its own reset for an error of the connection.
            if chance.random() < 0.25 and _way(asked[stream]) != 2:
                talk.h2.reset_stream(stream)
                del asked[stream]
        talk.flush()
        for stream, mark in asked.items():
            ended = talk.until(h2.events.StreamEnded, stream, 0.01)
            while ended is None and not any(
                isinstance(event, h2.events.StreamReset) and event.stream_id == stream for event in talk.events
            ):
                if talk.read(30) is None:
                    break
                ended = talk.until(h2.events.StreamEnded, stream, 0.0)
            answer = next(
                (e for e in talk.events if isinstance(e, h2.events.ResponseReceived) and e.stream_id == stream), None
            )
            if answer is not None:
                fields = dict(answer.headers)
                if fields[b":status"] == b"200":
                    judge(mark, fields.get(b"x-mark", b"").decode(), talk.body(stream), b"", ended is not None)
        talk.close()
        return EACH

    failed: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            one(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not wrong, wrong[:5]
    assert not failed, failed[:3]
    assert whole[0] > CONNECTIONS * EACH // 4
