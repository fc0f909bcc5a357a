"""The PROXY protocol's header: what is one, what is none, and that nothing is read but addresses."""

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.preamble import LONGEST, LONGEST_LINE, Preamble, preamble

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4711, 443)
PORTS = st.integers(0, 65535)


def version_2(family: int, body: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(body)) + body


def six(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text) + bytes(16) + struct.pack("!HH", 7, 443)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n", ("203.0.113.9", 4711)),
        (b"PROXY TCP6 2001:DB8:0::09 ::1 7 443\r\n", ("2001:db8::9", 7)),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 7 443\r\n", ("203.0.113.9", 7)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (version_2(0x11, V4), ("203.0.113.9", 4711)),
        (version_2(0x11, V4 + b"\x04\0\4abcd"), ("203.0.113.9", 4711)),
        (version_2(0x21, six("2001:db8::9")), ("2001:db8::9", 7)),
        (version_2(0x21, six("::ffff:203.0.113.9")), ("203.0.113.9", 7)),
        (version_2(0x00, b""), None),
        (version_2(0x00, b"", 0x20), None),
        (version_2(0x11, V4, 0x20), None),
        (version_2(0x12, V4), None),
        (version_2(0x31, bytes(216)), None),
    ],
)
def test_a_header_is_read_to_its_end_and_no_further(header, source):
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        assert preamble(header + rest) == Preamble(len(header), source)
    for cut in range(len(header)):
        assert preamble(header[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1,2.2.2.2 2.2.2.2 1 2\r\n",
        b'PROXY TCP4 x","client_ip":"9.9.9.9\x1b[31m 2.2.2.2 1 2\r\n',
        b"PROXY TCP4 1.1.1.1\nX-A:b 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1\rX-A:b 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 \xff\xfe 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 999.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 x 1 2\r\n",
        b"PROXY TCP6 1.1.1.1 ::1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \xb2\r\n",
        b"PROXY TCP4 " + b"1" * LONGEST_LINE,
        version_2(0x11, V4[:-1]),
        version_2(0x11, V4, 0x22),
        version_2(0x11, V4, 0x31),
        version_2(0x13, V4),
        version_2(0x41, V4),
        version_2(0x21, V4),
        SIGNATURE + b"\x21\x11" + struct.pack("!H", LONGEST - 15),
    ],
)
def test_what_is_no_header_is_refused_in_words_that_hold_none_of_it(data):
    with pytest.raises(ValueError) as told:
        preamble(data)
    assert str(told.value).isascii() and str(told.value).isprintable()
    assert all(word not in str(told.value) for word in ("1.1", "client_ip", "db8", "999"))
    assert told.value.__cause__ is None


@given(st.ip_addresses(), PORTS, PORTS)
def test_every_address_comes_out_as_the_one_that_was_announced(address, port, other):
    plain = getattr(address, "ipv4_mapped", None) or address
    number = 4 if isinstance(address, IPv4Address) else 6
    line = f"PROXY TCP{number} {address} {address} {port} {other}\r\n".encode()
    assert len(line) <= LONGEST_LINE
    assert preamble(line) == Preamble(len(line), (str(plain), port))
    packed = version_2(0x11 if number == 4 else 0x21, address.packed * 2 + struct.pack("!HH", port, other))
    assert preamble(packed) == Preamble(len(packed), (str(plain), port))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=120).map(lambda tail: b"PROXY " + tail),
        st.binary(max_size=60).map(lambda tail: b"PROXY TCP4 1.1.1.1 " + tail + b"\r\n"),
        st.binary(max_size=300).map(lambda tail: SIGNATURE + tail),
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300)).map(
            lambda said: version_2(said[1], said[2], said[0])
        ),
    )
)
def test_whatever_comes_it_is_a_canonical_address_or_nothing(data):
    try:
        found = preamble(data)
    except ValueError:
        return
    if found is None:
        assert len(data) < (LONGEST_LINE if data.startswith(b"P") else LONGEST)
        return
    assert 0 < found.length <= len(data)
    assert preamble(data[: found.length]) == found
    if found.source is not None:
        host, port = found.source
        address = ip_address(host)
        assert str(address) == host and 0 <= port <= 65535
        assert not isinstance(address, IPv6Address) or address.ipv4_mapped is None


def test_a_header_that_does_not_end_is_waited_for_up_to_its_bound_only():
    assert preamble(b"PROXY UNKNOWN".ljust(LONGEST_LINE - 1)) is None
    with pytest.raises(ValueError, match="does not end"):
        preamble(b"PROXY UNKNOWN".ljust(LONGEST_LINE))
    longest = version_2(0x11, V4.ljust(LONGEST - 16, b"\0"))
    assert preamble(longest[:-1]) is None
    assert preamble(longest) == Preamble(LONGEST, ("203.0.113.9", 4711))
