"""Many at once, some called off at any moment: every answer belongs to its question, and nothing stays behind."""

import os
import random

import pytest
import pytest_twisted
import treq
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from edge.backends.failures import UpstreamBroken
from edge.wire.body import Body
from edge.wire.head import CHUNKED
from tests.backends.rogue import Rogue, eventually
from tests.backends.way_out import Reader, way_out


def mixed(peer):
    """Answers each request with its own target, framed and cut up in some way, and now and then closes afterwards."""
    dice = random.Random(peer.index)
    while head := peer.head():
        target = head.split(b" ")[1]
        if b"chunked" in head:
            peer.body(len(b"1\r\nx\r\n0\r\n\r\n"))
        how = dice.randrange(5)
        if how == 0:
            peer.answer(target)
        elif how == 1:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(target), 3):
                part = target[at : at + 3]
                peer.send(b"%x\r\n%b\r\n" % (len(part), part))
            peer.send(b"0\r\n\r\n")
        elif how == 2:
            peer.gone.wait(0.01)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target))
            peer.gone.wait(0.005)
            peer.send(target)
        elif how == 3:
            peer.answer(target, more=b"Connection: close\r\n")
            return
        else:
            # Closes without a word after a whole answer, as a server does that is restarted.
            peer.answer(target)
            peer.gone.wait(0.002)
            return


class Wire:
    def want_body(self): ...

    def pause_body(self): ...

    def resume_body(self): ...

    def drop_body(self): ...


@pytest.mark.parametrize("fast", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_thousand_mixed_requests_with_aborts_get_their_own_answers_and_leave_nothing(fast):
    dice = random.Random(7)
    outcomes = {"whole": 0, "called off": 0, "lost": 0}
    with Rogue(mixed) as rogue:
        async with way_out(fast) as out:
            before = len(os.listdir("/proc/self/fd"))

            async def ask(number):
                target = b"/%d/" % number + b"x" * dice.randrange(40)
                body = None
                if number % 4 == 0:
                    body = Body(CHUNKED, Wire())
                    body.feed(b"x")
                    body.end()
                asked = out.client.request("POST" if body else "GET", out.to(rogue.url, target), data=body)
                if number % 5 == 0:
                    reactor.callLater(dice.random() * 0.02, asked.cancel)
                try:
                    answer = await asked
                    if number % 7 == 0 and answer.whole is None:
                        reader = Reader()
                        answer.deliverBody(reader)
                        reader.transport.abortConnection()
                        outcomes["called off"] += 1
                    else:
                        assert await treq.content(answer) == target
                        outcomes["whole"] += 1
                except CancelledError:
                    outcomes["called off"] += 1
                except UpstreamBroken:
                    # A POST met a connection that had just ended: it is not sent twice.
                    assert body is not None
                    outcomes["lost"] += 1

            async def several(numbers):
                for number in numbers:
                    await ask(number)

            await gatherResults([Deferred.fromCoroutine(several(range(at, 1000, 25))) for at in range(25)])
            assert sum(outcomes.values()) == 1000
            assert outcomes["whole"] > 600
            assert outcomes["called off"] > 50
            assert out.agent.reuses > 100
            out.pass_time(5)
            await eventually(lambda: not out.agent.open)
            assert not out.agent.idle
            await deferLater(reactor, 0.05, lambda: None)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)
