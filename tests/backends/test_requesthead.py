import pytest

from edge.backends.requesthead import request_head
from edge.backends.target import UpstreamURL, target_of
from edge.core.batch import Batch, Block

URL = UpstreamURL(target_of("http://127.0.0.1:1"), b"/x?y=1")


def head(batch):
    return request_head(b"GET", URL, batch, b"")


def test_a_block_that_comes_again_is_written_as_it_was_with_what_is_added():
    block = Block([(b"Host", b"h"), (b"A", b"1")])
    for number in (b"1", b"2"):
        assert head(Batch(block, [(b"X-Request-Id", number)])) == (
            b"GET /x?y=1 HTTP/1.1\r\nHost: h\r\nA: 1\r\nX-Request-Id: " + number + b"\r\n\r\n"
        )


@pytest.mark.parametrize("known", [False, True])
def test_whatever_a_batch_adds_is_sent_and_judged(known):
    block = Block([(b"Host", b"h")])
    if known:
        head(Batch(block, []))
    assert b"\r\nX-Own: 2\r\n" in head(Batch(block, [], b"X-Own: 2\r\n"))
    for rest in ([(b"Host", b"g")], [(b"Connection", b"close")], [(b"A", b"1\r\nB: 2")], [(b"A\n", b"1")]):
        with pytest.raises(ValueError):
            head(Batch(block, rest))
    with pytest.raises(ValueError):
        head(Batch(block, [], b"Transfer-Encoding: chunked\r\n"))
