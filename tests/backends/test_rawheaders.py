"""Fields in wire order behind twisted.web's Headers."""

from twisted.web.http_headers import Headers

from edge.backends.rawheaders import RawHeaders

PAIRS = [(b"X-A", b"1"), (b"x-b", b"2"), (b"X-A", b"3")]


def test_reading_builds_the_dict_and_keeps_the_wire_order():
    headers = RawHeaders(PAIRS)
    assert headers.getRawHeaders(b"x-a") == [b"1", b"3"]
    assert headers.hasHeader("X-B")
    assert headers == Headers({b"X-A": [b"1", b"3"], b"X-B": [b"2"]})
    assert headers.pairs is PAIRS


def test_changes_show_in_the_pairs():
    headers = RawHeaders(PAIRS)
    headers.addRawHeader(b"X-C", b"4")
    headers.removeHeader(b"X-B")
    headers.setRawHeaders(b"X-D", [b"5"])
    assert sorted(headers.pairs) == [(b"X-A", b"1"), (b"X-A", b"3"), (b"X-C", b"4"), (b"X-D", b"5")]
    assert PAIRS == [(b"X-A", b"1"), (b"x-b", b"2"), (b"X-A", b"3")]


def test_a_copy_is_a_copy():
    headers = RawHeaders(PAIRS)
    other = headers.copy()
    other.removeHeader(b"X-A")
    assert headers.hasHeader(b"X-A")
    assert not other.hasHeader(b"X-A")
