"""Answers: what is whole, what is cut, what is malformed, and what a connection may be used for afterwards."""

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH

from edge.backends.failures import UpstreamBroken, cause_of
from tests.backends.rogue import Rogue, eventually, serving
from tests.backends.way_out import Reader, way_out


def saying(*parts, end="close"):
    """A script that answers one request with `parts`, a little apart, and then ends as told."""

    def script(peer):
        peer.head()
        for part in parts:
            peer.send(part)
            if part is not parts[-1]:
                peer.gone.wait(0.02)
        if end == "hold":
            peer.hold()
        elif end == "reset":
            # The last bytes are delivered before the reset, as they are when an upstream dies.
            peer.gone.wait(0.05)
            peer.reset()

    return script


async def ending(answer):
    reader = Reader()
    answer.deliverBody(reader)
    await eventually(lambda: reader.reason)
    return reader


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"Content-Length: 6\r\n\r\nabcdef"],
        [OK + b"Content-Length: 6\r\n\r\n", b"abc", b"def"],
        [OK + b"Content-Le", b"ngth: 6\r\n\r\nabc", b"def"],
        [CHUNKED + b"6\r\nabcdef\r\n0\r\n\r\n"],
        [CHUNKED, b"3\r\nab", b"c\r\n3\r\ndef\r\n0\r\nX-Trailer: dropped\r\n", b"\r\n"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_whole_body_arrives_however_it_is_cut_and_its_connection_is_kept(parts):
    with Rogue(saying(*parts, end="hold")) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            assert await treq.content(answer) == b"abcdef"
            assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_what_comes_in_one_piece_is_whole_at_once_and_ends_as_a_stream_does():
    with Rogue(saying(CHUNKED + b"6\r\nabcdef\r\n0\r\n\r\n", end="hold")) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            assert (answer.whole, answer.length, out.agent.idle) == (b"abcdef", UNKNOWN_LENGTH, 1)
            reader = await ending(answer)
            assert reader.data == b"abcdef"
            assert reader.reason.check(ResponseDone)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(
    "parts",
    [
        [OK + b"Content-Length: 10\r\n\r\nabc"],
        [OK + b"Content-Length: 10\r\n\r\n", b"abc", b"def"],
        [CHUNKED + b"3\r\nabc\r\n"],
        [CHUNKED + b"3\r\nab"],
        [CHUNKED + b"3\r\nabc\r\n", b"0\r\n"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_cut_answer_is_never_whole(parts, end):
    with Rogue(saying(*parts, end=end)) as rogue:
        async with way_out() as out:
            reader = await ending(await out.client.get(out.to(rogue.url)))
            assert reader.reason.check(ResponseFailed)
            assert isinstance(cause_of(reader.reason), UpstreamBroken)
            assert not out.agent.open


@pytest.mark.parametrize(("end", "kind"), [("close", PotentialDataLoss), ("reset", ResponseFailed)])
@pytest_twisted.ensureDeferred
async def test_an_answer_without_length_ends_with_its_connection_but_not_with_a_reset(end, kind):
    with Rogue(saying(OK + b"\r\nabc", b"def", end=end)) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            assert (answer.length, answer.whole) == (UNKNOWN_LENGTH, None)
            reader = await ending(answer)
            assert reader.data == b"abcdef"
            assert reader.reason.check(kind)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
@pytest_twisted.ensureDeferred
async def test_an_upstream_that_leaves_before_its_head_is_whole_is_broken(said, end):
    with Rogue(saying(said, end=end)) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamBroken):
                await out.client.get(out.to(rogue.url))


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 2000 Long\r\n\r\n",
        b"HTTP/1.1 +20 Signed\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        OK + b"Content-Length: +1\r\n\r\na",
        OK + b"Content-Length: 1, 1\r\n\r\na",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b" Folded: x\r\n\r\n",
        OK + b"Space : x\r\n\r\n",
        OK + b"No-Colon\r\n\r\n",
        OK + b"Nul: a\0b\r\n\r\n",
        OK + b"Return: a\rb\r\n\r\n",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"-3\r\nabc\r\n",
        CHUNKED + b"fffffffffffffffff\r\nabc",
        CHUNKED + b"3\nabc\r\n",
        CHUNKED + b"3\r\nabcd\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\na",
        OK + b"X: " + b"a" * 70_000,
        OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        OK + b"X: a\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\nX: a\r\n\r\n" * 33,
        b"".join([b"HTTP/1.1 103 Early Hints\r\nX: " + b"a" * 9000 + b"\r\n\r\n"] * 8) + OK,
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_malformed_answer_is_broken_and_its_connection_closed(said):
    with Rogue(saying(said, end="hold")) as rogue:
        async with way_out() as out:
            with pytest.raises(UpstreamBroken):
                await out.client.get(out.to(rogue.url))
            await eventually(lambda: not out.agent.open and rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_chunks_that_go_wrong_later_break_the_body():
    with Rogue(saying(CHUNKED + b"3\r\nabc\r\n", b"zz\r\n", end="hold")) as rogue:
        async with way_out() as out:
            reader = await ending(await out.client.get(out.to(rogue.url)))
            assert reader.data == b"abc"
            assert isinstance(cause_of(reader.reason), UpstreamBroken)


@pytest.mark.parametrize(
    "said",
    [
        OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_connection_is_not_kept_when_more_follows_or_its_end_is_announced(said):
    with Rogue(saying(said, end="hold"), serving) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            assert answer.whole == b"ok"
            assert out.agent.idle == 0
            assert (await out.client.get(out.to(rogue.url, b"/next"))).whole == b"GET /next HTTP/1.1"
            await eventually(lambda: rogue.peers[0].gone.is_set())


@pytest_twisted.ensureDeferred
async def test_an_old_server_that_keeps_its_connections_is_kept():
    with Rogue(
        saying(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", end="hold")
    ) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url))
            assert out.agent.idle == 1


@pytest.mark.parametrize(
    ("method", "said", "length", "kept"),
    [
        ("HEAD", OK + b"Content-Length: 1234\r\n\r\n", 1234, 1),
        ("HEAD", CHUNKED, UNKNOWN_LENGTH, 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n", 1234, 1),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", UNKNOWN_LENGTH, 1),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 0, 1),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 0, 1),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 0),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\n", 0, 0),
        ("GET", OK + b"Content-Length: 0\r\n\r\n", 0, 1),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_has_no_body_is_whole_with_its_head(method, said, length, kept):
    with Rogue(saying(said, end="hold")) as rogue:
        async with way_out() as out:
            answer = await out.client.request(method, out.to(rogue.url))
            assert (answer.whole, answer.length, out.agent.idle) == (b"", length, kept)


@pytest_twisted.ensureDeferred
async def test_a_body_after_an_answer_to_head_is_not_the_next_answer():
    with Rogue(saying(OK + b"Content-Length: 5\r\n\r\nstray", end="hold"), serving) as rogue:
        async with way_out() as out:
            await out.client.head(out.to(rogue.url))
            assert out.agent.idle == 0


@pytest_twisted.ensureDeferred
async def test_interim_answers_are_told_and_the_answer_follows():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    told = []
    with Rogue(saying(b"HTTP/1.1 100 Continue\r\n\r\n" + hints, hints + OK + b"Content-Length: 0\r\n\r\n")) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url), on_inform=lambda *said: told.append(said))
            assert answer.code == 200
            assert told == [(103, [(b"Link", b"</a>")])] * 2


@pytest_twisted.ensureDeferred
async def test_a_reader_that_pauses_stops_the_upstream_and_memory_stays_flat():
    sent = 0

    def flood(peer):
        nonlocal sent
        peer.head()
        peer.send(OK + b"Content-Length: 67108864\r\n\r\n")
        while sent < 67108864:
            peer.send(bytes(65536))
            sent += 65536
        peer.hold()

    with Rogue(flood) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            reader = Reader(pause_at=1)
            answer.deliverBody(reader)
            await eventually(lambda: reader.size)
            seen = -1
            while seen != sent:
                seen = sent
                await deferLater(reactor, 0.1, lambda: None)
            # What is under way fills the kernel's buffers, and one read of ours.
            assert reader.size <= 256 * 1024
            assert sent < 32 * 1024 * 1024
            reader.pause_at = None
            reader.transport.resumeProducing()
            await eventually(lambda: reader.reason)
            assert reader.size == 67108864
            assert reader.reason.check(ResponseDone)
            assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_a_body_that_nobody_reads_yet_is_held_back_and_then_given_in_order():
    with Rogue(saying(OK + b"Content-Length: 6\r\n\r\nabc", b"def", end="hold")) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            await eventually(lambda: answer._early)
            assert answer.whole is None
            assert await treq.content(answer) == b"abcdef"
            assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_a_connection_paused_at_the_end_of_its_answer_is_awake_for_the_next():
    def twice(peer):
        peer.head()
        peer.send(OK + b"Content-Length: 6\r\n\r\nabc")
        peer.wait()
        peer.send(b"def")
        serving(peer)

    with Rogue(twice) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            reader = Reader(pause_at=6)
            answer.deliverBody(reader)
            rogue.peers[0].go.set()
            await eventually(lambda: reader.reason)
            assert (await out.client.get(out.to(rogue.url, b"/next"))).whole == b"GET /next HTTP/1.1"
            assert out.agent.connects == 1


@pytest_twisted.ensureDeferred
async def test_a_body_that_nobody_reads_is_held_within_one_read():
    def flood(peer):
        peer.head()
        peer.send(OK + b"\r\n")
        for _ in range(512):
            peer.send(bytes(65536))

    with Rogue(flood) as rogue:
        async with way_out() as out:
            answer = await out.client.get(out.to(rogue.url))
            await eventually(lambda: answer._early)
            await deferLater(reactor, 0.2, lambda: None)
            assert sum(map(len, answer._early)) <= 256 * 1024
