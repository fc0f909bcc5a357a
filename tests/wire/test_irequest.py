"""Any twisted.web resource meets the request that it knows, over HTTP/1.1 and HTTP/2."""

import json

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data, File
from twisted.web.util import Redirect, redirectTo
from zope.interface.verify import verifyObject

from edge.wire.http1 import Http1
from edge.wire.irequest import render_stock
from tests.wire.memory import Bench


def over(resource, raw, body=b"", pre=(b"base",), post=None, **known):
    """What a resource answers to a request."""
    bench = Bench(Http1)
    bench.told._then = lambda request: render_stock(
        request, resource, body, list(pre), request.path.split(b"/")[2:] if post is None else post, **known
    )
    bench.send(raw)
    return bench


def get(target="/base/x", *fields, method="GET", version="1.1"):
    lines = [f"{method} {target} HTTP/{version}", "Host: gate.test:8443", *(f"{n}: {v}" for n, v in fields), "", ""]
    return "\r\n".join(lines).encode()


def answer(bench):
    head, _, body = bench.out().partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return int(status.split()[1]), [(name.lower(), value) for name, value in pairs], body


class Leaf(Resource):
    isLeaf = True

    def __init__(self, act):
        super().__init__()
        self._act = act

    def render(self, request):
        return self._act(request)


def test_it_provides_what_it_says():
    bench = Bench(Http1).send(get("/base/x?a=1&a=2&b=", ("Cookie", "one=1; two=2"), ("X-A", "1"), ("X-A", "2")))
    (request,) = bench.requests
    assert verifyObject(IRequest, request)
    assert (request.method, request.uri, request.clientproto) == (b"GET", b"/base/x?a=1&a=2&b=", b"HTTP/1.0")
    assert request.args == {b"a": [b"1", b"2"], b"b": [b""]} and request.isSecure()
    assert request.getCookie(b"two") == b"2" and request.getHeader(b"cookie") == b"one=1; two=2"
    assert request.requestHeaders.getRawHeaders("x-a") == ["1", "2"]
    assert request.getClientAddress().host == "192.0.2.1" and request.getHost().port == 8443
    assert request.path == b"/base/x" and request.getAllHeaders()[b"x-a"] == b"2"


def test_it_has_no_other_names():
    (request,) = Bench(Http1).send(get()).requests
    with pytest.raises(AttributeError):
        request.nothing_of_the_kind  # noqa: B018
    assert not hasattr(request, "__length_hint__")


def test_a_resource_is_walked_to_below_the_route():
    root = Resource()
    root.putChild(b"x", deeper := Resource())
    deeper.putChild(b"y", Data(b"found", "text/plain"))
    status, fields, body = answer(over(root, get("/base/x/y")))
    assert (status, body) == (200, b"found") and ("content-length", "5") in fields
    assert answer(over(root, get("/base/none")))[0] == 404


def test_head_is_answered_without_a_body():
    status, fields, body = answer(over(Data(b"found", "text/plain"), get(method="HEAD"), post=[]))
    assert (status, body) == (200, b"") and ("content-length", "5") in fields


@pytest_twisted.ensureDeferred
async def test_a_file_with_its_ranges_is_served(tmp_path):
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 1000)
    bench = over(File(str(tmp_path)), get("/base/big.bin", ("Range", "bytes=10-200009")))
    while bench.transport.producer is not None:
        bench.transport.producer.resumeProducing()
        await deferLater(reactor, 0.001)
    status, fields, body = answer(bench)
    assert status == 206 and body == (bytes(range(256)) * 1000)[10:200_010]
    assert ("content-range", "bytes 10-200009/256000") in fields


@pytest_twisted.ensureDeferred
async def test_a_file_waits_for_who_reads_it(tmp_path):
    (tmp_path / "big.bin").write_bytes(b"x" * 2_000_000)
    bench = over(File(str(tmp_path)), get("/base/big.bin"))
    bench.transport.producer.pauseProducing()
    bench.transport.producer.pauseProducing()
    await deferLater(reactor, 0.01)
    before = len(bench.transport.value())
    await deferLater(reactor, 0.02)
    assert len(bench.transport.value()) == before < 2_000_000
    bench.transport.producer.resumeProducing()
    while bench.transport.producer is not None:
        await deferLater(reactor, 0.001)
    assert len(answer(bench)[2]) == 2_000_000


@pytest_twisted.ensureDeferred
async def test_a_file_is_closed_when_its_reader_leaves(tmp_path):
    (tmp_path / "big.bin").write_bytes(b"x" * 2_000_000)
    bench = over(File(str(tmp_path)), get("/base/big.bin"))
    producer = bench.transport.producer
    bench.leave()
    producer.stopProducing()
    before = len(bench.transport.value())
    await deferLater(reactor, 0.02)
    assert len(bench.transport.value()) == before


def test_redirects_name_the_host_that_the_client_knows():
    status, fields, _ = answer(over(Leaf(lambda r: redirectTo(r.prePathURL() + b"/z", r)), get("/base/x")))
    assert status == 302 and dict(fields)["location"].startswith("https://gate.test:8443/base")
    assert answer(over(Redirect(b"/elsewhere"), get()))[0] == 302


def test_an_answer_that_streams_is_framed_for_the_client():
    held = []

    def begins(request):
        request.write(b"one")
        held.append(request)
        return NOT_DONE_YET

    bench = over(Leaf(begins), get())
    status, fields, body = answer(bench)
    assert status == 200 and ("transfer-encoding", "chunked") in fields and body == b"3\r\none\r\n"
    held[0].write(b"two")
    held[0].finish()
    assert bench.out() == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_length_that_a_resource_states_is_kept_and_its_framing_is_not():
    def states(request):
        request.setHeader(b"content-length", b"3")
        request.setHeader(b"transfer-encoding", b"chunked")
        request.setHeader(b"connection", b"x")
        return b"abc"

    _, fields, body = answer(over(Leaf(states), get()))
    assert fields.count(("content-length", "3")) == 1 and body == b"abc"
    assert not any(name in ("transfer-encoding", "connection") for name, _ in fields)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_is_heard_and_paused(streaming):
    class Numbers:
        def __init__(self, request):
            self.request, self.left, self.paused = request, 3, False

        def resumeProducing(self):
            if self.left:
                self.left -= 1
                self.request.write(b"%d" % self.left)
            if not self.left and self.request is not None:
                self.request.unregisterProducer()
                self.request.finish()
                self.request = None

        def pauseProducing(self):
            self.paused = True

        def stopProducing(self):
            self.left, self.request = 0, None

    made = []

    def produces(request):
        made.append(Numbers(request))
        request.registerProducer(made[0], streaming)
        return NOT_DONE_YET

    bench = over(Leaf(produces), get())
    producer = bench.transport.producer
    assert (producer is made[0]) == streaming
    if streaming:
        for _ in range(3):
            producer.resumeProducing()
        assert bench.transport.producer is None
        assert answer(bench)[2].endswith(b"0\r\n\r\n")
    else:
        producer.pauseProducing()
        producer.resumeProducing()
        producer.stopProducing()
        assert made[0].request is None


def test_who_waits_hears_that_the_client_left():
    heard = []

    def waits(request):
        request.notifyFinish().addErrback(heard.append)
        return NOT_DONE_YET

    bench = over(Leaf(waits), get())
    bench.leave()
    assert len(heard) == 1 and bench.out() == b""


def test_a_connection_that_a_resource_gives_up_is_cut():
    for name in ("loseConnection", "abortConnection"):
        bench = over(Leaf(lambda r, name=name: getattr(r.channel, name)() or NOT_DONE_YET), get())
        assert bench.closed and bench.out() == b""


def test_a_failure_is_a_500_without_a_word_of_it(capsys):
    def fails(request):
        raise RuntimeError("secret words")

    status, _, body = answer(over(Leaf(fails), get()))
    assert status == 500 and b"secret" not in body


@pytest.mark.parametrize("left", [False, True])
def test_a_failure_within_an_answer_breaks_it_off(left):
    held = []

    def begins(request):
        request.write(b"one")
        held.append(request)
        return NOT_DONE_YET

    bench = over(Leaf(begins), get())
    if left:
        bench.leave()
    before = bench.out()
    held[0].processingFailed(Failure(RuntimeError("secret words")))
    assert bench.out() == b"" and b"one" in before and (bench.closed or left)


def test_a_form_is_read():
    raw = get("/base/x", ("Content-Type", "application/x-www-form-urlencoded"), ("content-length", "7"), method="POST")
    told = over(
        Leaf(lambda r: json.dumps({k.decode(): v[0].decode() for k, v in r.args.items()}).encode()), raw, b"a=1&b=2"
    )
    assert json.loads(answer(told)[2]) == {"a": "1", "b": "2"}


def test_only_given_fields_are_seen_and_the_answer_goes_to_who_takes_it():
    class Taker:
        def __init__(self):
            self.taken = []

        def begin(self, status, pairs, length, data, last, phrase):
            self.taken += [status, dict(pairs)[b"X-Own"], length, data, last]

        def send(self, data):
            self.taken.append(data)

        def end(self):
            self.taken.append("end")

    seen, taker = [], Taker()

    def looks(request):
        seen.extend(request.requestHeaders.getAllRawHeaders())
        request.setHeader(b"x-own", b"1")
        request.write(b"o")
        request.write(b"k")
        request.finish()
        return NOT_DONE_YET

    bench = over(Leaf(looks), get("/base/x", ("Authorization", "secret")), fields=[(b"X-Only", b"1")],
                 taker=taker)  # fmt: skip
    names = {name.lower() for name, _ in seen}
    assert b"x-only" in names and b"authorization" not in names
    assert taker.taken == [200, b"1", None, b"o", False, b"k", "end"] and bench.out() == b""


@pytest.mark.parametrize(("host", "url"), [("gate.test", "https://gate.test/"), ("gate.test:443", "https://gate.test/")])  # fmt: skip
def test_a_resource_knows_the_gate_by_the_name_that_its_client_used(host, url):
    raw = get().replace(b"gate.test:8443", host.encode())
    _, _, body = answer(over(Leaf(lambda r: r.prePathURL()), raw))
    assert body.decode().startswith(url)
