"""treq, transparent: against a real server, what is asked is what is sent, and what comes is what is given."""

import asyncio
import gzip
import json
import threading

import pytest
import pytest_twisted
import treq
from aiohttp import web
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from edge.backends.rawheaders import RawHeaders
from tests.backends.rogue import Rogue, serving
from tests.backends.way_out import way_out


async def mirror(request):
    body = await request.read()
    told = {
        "method": request.method,
        "path": request.raw_path,
        "headers": [list(pair) for pair in request.headers.items()],
    }
    return web.json_response({**told, "body": body.decode()})


async def cookies(request):
    return web.Response(text="baked", headers=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/")])


async def redirect(request):
    raise web.HTTPFound("/mirror")


async def packed(request):
    return web.Response(body=gzip.compress(b"unpacked"), headers={"Content-Encoding": "gzip"})


async def streamed(request):
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for number in range(5):
        await answer.write(b"data: %d\n\n" % number)
        await asyncio.sleep(0.01)
    return answer


async def ranged(request):
    return web.Response(status=206, body=b"23", headers={"Content-Range": "bytes 2-3/10"})


@pytest.fixture(scope="module")
def upstream():
    """The address of a real aiohttp server in a thread of its own."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    address = []

    async def run():
        app = web.Application(client_max_size=1 << 30)
        for path, handler in (
            ("/cookies", cookies),
            ("/redirect", redirect),
            ("/packed", packed),
            ("/streamed", streamed),
            ("/ranged", ranged),
        ):
            app.router.add_get(path, handler)
        app.router.add_route("*", "/{any:.*}", mirror)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        started.set()
        await stopping.wait()
        await runner.cleanup()

    stopping = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stopping.set)
    thread.join(10)
    loop.close()


@pytest_twisted.ensureDeferred
async def test_cookies_of_one_caller_never_go_with_the_next(upstream):
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/cookies"))
        assert answer.fields.all(b"set-cookie") == [b"a=1; Path=/", b"b=2; Path=/"]
        assert answer.headers.getRawHeaders(b"set-cookie") == [b"a=1; Path=/", b"b=2; Path=/"]
        assert not list(answer.cookies())
        told = json.loads((await out.client.get(out.to(upstream, b"/mirror"))).whole)
        assert "cookie" not in [name.lower() for name, _ in told["headers"]]


@pytest_twisted.ensureDeferred
async def test_a_redirect_is_an_answer_like_any_other(upstream):
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/redirect"), allow_redirects=True)
        assert answer.code == 302
        assert answer.fields.get(b"location") == b"/mirror"
        assert answer.history() == []


@pytest_twisted.ensureDeferred
async def test_nothing_is_unpacked(upstream):
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/packed"), headers=RawHeaders([(b"Accept-Encoding", b"gzip")]))
        assert answer.fields.get(b"content-encoding") == b"gzip"
        body = await treq.content(answer)
        assert answer.length == len(body)
        assert gzip.decompress(body) == b"unpacked"


@pytest_twisted.ensureDeferred
async def test_only_what_was_given_is_sent_in_order_and_case(upstream):
    given = [(b"X-One", b"1"), (b"x-TWO", b"\xe4 b"), (b"X-One", b"3"), (b"Accept", b"*/*")]
    with Rogue(serving) as rogue:
        async with way_out() as out:
            await out.client.get(out.to(rogue.url, b"/a%2Fb//c?x=[|]&%zz"), headers=RawHeaders(given))
        assert rogue.peers[0].received == (
            b"GET /a%%2Fb//c?x=[|]&%%zz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % rogue.port
            + b"X-One: 1\r\nx-TWO: \xe4 b\r\nX-One: 3\r\nAccept: */*\r\n\r\n"
        )


@pytest_twisted.ensureDeferred
async def test_a_host_that_is_given_is_the_one_that_is_sent(upstream):
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/"), headers=RawHeaders([(b"host", b"door.example")]))
        assert [pair for pair in json.loads(answer.whole)["headers"] if pair[0].lower() == "host"] == [
            ["Host", "door.example"]
        ]


@pytest.mark.parametrize("method", ["get", "GET", "PROPFIND", "M-SEARCH"])
@pytest_twisted.ensureDeferred
async def test_methods_keep_their_case(method):
    with Rogue(serving) as rogue:
        async with way_out() as out:
            answer = await out.client.request(method, out.to(rogue.url))
            assert answer.whole == method.encode() + b" / HTTP/1.1"


@pytest_twisted.ensureDeferred
async def test_a_stream_arrives_piece_by_piece(upstream):
    pieces = []
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/streamed"))
        assert answer.whole is None
        await treq.collect(answer, pieces.append)
        assert b"".join(pieces) == b"".join(b"data: %d\n\n" % number for number in range(5))
        assert len(pieces) >= 3
        assert out.agent.idle == 1


@pytest_twisted.ensureDeferred
async def test_a_range_passes(upstream):
    async with way_out() as out:
        answer = await out.client.get(out.to(upstream, b"/ranged"))
        assert (answer.code, answer.phrase, answer.whole) == (206, b"Partial Content", b"23")


@pytest_twisted.ensureDeferred
async def test_treqs_own_ways_work_on_text_urls_dicts_and_json(upstream):
    async with way_out() as out:
        answer = await out.client.post(upstream + "/v1?q=1", json={"a": [1]}, headers={"X-Two": ["1", "2"]})
        told = await treq.json_content(answer)
        assert told["path"] == "/v1?q=1"
        assert told["body"] == '{"a":[1]}'
        assert ["Content-Type", "application/json"] in told["headers"]
        assert [value for name, value in told["headers"] if name == "X-Two"] == ["1", "2"]
        # A whole answer may be read more than once, as treq's may.
        assert await answer.json() == told
        assert await answer.text() == answer.whole.decode()
        assert out.agent.connects == 1
        headers = Headers({"Connection": ["close"], "Content-Length": ["9"], "X": ["y"]})
        told = await (await out.client.get(upstream, headers=headers)).json()
        assert [name for name, _ in told["headers"]] == ["Host", "X"]
        assert told["path"] == "/"


@pytest_twisted.ensureDeferred
async def test_what_would_share_or_rewrite_is_not_offered(upstream):
    async with way_out() as out:
        for extra in ({"cookies": {"a": "b"}}, {"auth": ("u", "p")}, {"params": {"a": "b"}}, {"files": {"a": b"b"}}):
            with pytest.raises(TypeError, match=next(iter(extra))):
                out.client.get(upstream, **extra)


@pytest_twisted.ensureDeferred
async def test_it_is_an_agent_for_others_too(upstream):
    async with way_out() as out:
        assert verifyObject(IAgent, out.agent)
        answer = await out.agent.request(b"GET", upstream.encode() + b"/x#part", Headers({"A": ["b"]}), None)
        assert verifyObject(IResponse, answer)
        assert (await treq.json_content(answer))["path"] == "/x"
        for bad in (b"ftp://a/", b"http://", b"http://u:p@127.0.0.1/", b"http://127.0.0.1:99999/"):
            with pytest.raises(ValueError):
                out.agent.request(b"GET", bad)
