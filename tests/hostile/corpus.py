"""One corpus of requests as bytes, in the classes of HTTP Garden, PortSwigger and llhttp's strict mode.

Each case has a verdict: `pass` (one request goes on, with exactly the target and body given), `refuse` (nothing goes on;
the client sees a 4xx or 5xx of the gate's, or the end of the connection). `{H}` stands for the Host and key lines, `{K}` for the key;
`{L}` ends those lines with LF alone.
"""

from collections.abc import Iterator

from attrs import frozen

END = b"\r\n\r\n"
SMUGGLED = b"GET /any/api/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
"""What a desync would let through: no peer may ever see this path."""


@frozen
class Case:
    group: str
    name: str
    data: bytes
    target: bytes | None = None
    """The target as the service must see it; None where nothing may go on."""
    body: bytes = b""


def _get(target: bytes = b"/any/api/x", extra: bytes = b"", line: bytes | None = None) -> bytes:
    first = line if line is not None else b"GET " + target + b" HTTP/1.1"
    return first + b"\r\n{H}" + extra + b"\r\n"


def _post(fields: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    return b"POST /any/api/x HTTP/" + version + b"\r\n{H}" + fields + b"\r\n" + body


def _chunked(body: bytes, fields: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return _post(fields, body)


def _lines() -> Iterator[tuple[str, bytes, bytes | None]]:
    good = b"/x"
    yield "plain", _get(), good
    yield "absolute form", _get(line=b"GET http://localhost/any/api/x HTTP/1.1"), good
    yield "absolute form, https", _get(line=b"GET https://localhost/any/api/x HTTP/1.1"), good
    yield "absolute form, case", _get(line=b"GET HTTP://LOCALHOST/any/api/x HTTP/1.1"), good
    yield "absolute form, another host", _get(line=b"GET http://evil/any/api/x HTTP/1.1"), None
    yield "absolute form, userinfo", _get(line=b"GET http://localhost@evil/any/api/x HTTP/1.1"), None
    yield "absolute form, ftp", _get(line=b"GET ftp://localhost/any/api/x HTTP/1.1"), None
    yield "absolute form, no host", _get(line=b"GET http:///any/api/x HTTP/1.1"), None
    yield "http/1.0", _get(line=b"GET /any/api/x HTTP/1.0"), good
    for name, line in {
        "two spaces": b"GET  /any/api/x HTTP/1.1",
        "two spaces before the version": b"GET /any/api/x  HTTP/1.1",
        "a tab": b"GET\t/any/api/x HTTP/1.1",
        "a tab before the version": b"GET /any/api/x\tHTTP/1.1",
        "a leading space": b" GET /any/api/x HTTP/1.1",
        "a trailing space": b"GET /any/api/x HTTP/1.1 ",
        "a space in the target": b"GET /any/api/x y HTTP/1.1",
        "no version": b"GET /any/api/x",
        "version 0.9": b"GET /any/api/x HTTP/0.9",
        "version 1.2": b"GET /any/api/x HTTP/1.2",
        "version 2.0": b"GET /any/api/x HTTP/2.0",
        "version 3": b"GET /any/api/x HTTP/3",
        "version 1": b"GET /any/api/x HTTP/1",
        "version 1.": b"GET /any/api/x HTTP/1.",
        "version .1": b"GET /any/api/x HTTP/.1",
        "version 1.10": b"GET /any/api/x HTTP/1.10",
        "version 01.1": b"GET /any/api/x HTTP/01.1",
        "version with a comma": b"GET /any/api/x HTTP/1,1",
        "version in lower case": b"GET /any/api/x http/1.1",
        "another protocol": b"GET /any/api/x HTTQ/1.1",
        "RTSP": b"GET /any/api/x RTSP/1.0",
        "no target": b"GET HTTP/1.1",
        "an empty target": b"GET  HTTP/1.1",
        "a relative target": b"GET any/api/x HTTP/1.1",
        "an asterisk": b"GET * HTTP/1.1",
        "a query only": b"GET ?x HTTP/1.1",
        "a control character": b"GET /any/api/\x01 HTTP/1.1",
        "NUL in the target": b"GET /any/api/\x00 HTTP/1.1",
        "DEL in the target": b"GET /any/api/\x7f HTTP/1.1",
        "raw 8 bit": b"GET /any/api/\xe9 HTTP/1.1",
        "raw UTF-8": b"GET /any/api/\xc3\xa9 HTTP/1.1",
        "a bare CR": b"GET /any/api/x HTTP/1.1\r",
        "a bare CR in the middle": b"GET /any/api/x\r HTTP/1.1",
        "a vertical tab": b"GET /any/api/x\x0bHTTP/1.1",
        "a fragment": b"GET /any/api/x#y HTTP/1.1",
        "a fragment after the query": b"GET /any/api/x?a#y HTTP/1.1",
        "a backslash": b"GET /any/api\\x HTTP/1.1",
        "a method in parentheses": b"G(T /any/api/x HTTP/1.1",
        "a method with a colon": b"GET: /any/api/x HTTP/1.1",
        "a method with NUL": b"GE\x00T /any/api/x HTTP/1.1",
        "an empty method": b" /any/api/x HTTP/1.1",
        "a method of 40 letters": b"A" * 40 + b" /any/api/x HTTP/1.1",
        "TRACE": b"TRACE /any/api/x HTTP/1.1",
        "CONNECT": b"CONNECT localhost:80 HTTP/1.1",
        "CONNECT to a path": b"CONNECT /any/api/x HTTP/1.1",
        "PRI": b"PRI * HTTP/2.0",
        "get in lower case": b"get /any/api/x HTTP/1.1",
        "an unknown method": b"FROBNICATE /any/api/x HTTP/1.1",
    }.items():
        yield name, _get(line=line), None
    yield "an empty line first", b"\r\n" + _get(), None
    yield "two empty lines first", b"\r\n\r\n" + _get(), None
    yield "LF first", b"\n" + _get(), None
    yield "a BOM first", b"\xef\xbb\xbf" + _get(), None
    yield "NUL first", b"\x00" + _get(), None
    yield "bare LF after the request line", _get().replace(b"1.1\r\n", b"1.1\n"), None
    yield "bare LF everywhere", b"{L}GET /any/api/x HTTP/1.1\n{H}\n", None
    yield "bare CR for an end", _get().replace(b"1.1\r\n", b"1.1\r"), None


def _fields() -> Iterator[tuple[str, bytes, bytes | None]]:
    good = b"/x"
    for name, extra in {
        "an odd but legal name": b"!#$%&'*+-.^_`|~: x\r\n",
        "an empty value": b"X:\r\n",
        "no space after the colon": b"X:y\r\n",
        "tabs round the value": b"X:\t y \t\r\n",
        "8-bit value": b"X: \xe9\xff\r\n",
        "a colon in the value": b"X: a:b::c\r\n",
        "twenty of the same": b"X: y\r\n" * 20,
    }.items():
        yield name, _get(extra=extra), good
    for name, extra in {
        "space before the colon": b"X : y\r\n",
        "tab before the colon": b"X\t: y\r\n",
        "no colon": b"X\r\n",
        "no name": b": y\r\n",
        "a space in the name": b"X Y: z\r\n",
        "a space before the name": b" X: y\r\n",
        "obs-fold": b"X: y\r\n z\r\n",
        "obs-fold by tab": b"X: y\r\n\tz\r\n",
        "bare LF": b"X: y\n",
        "bare LF hiding a field": b"X: y\nTransfer-Encoding: chunked\r\n",
        "bare CR": b"X: y\rZ: 1\r\n",
        "CR CR LF": b"X: y\r\r\n",
        "NUL in a value": b"X: a\x00b\r\n",
        "NUL in a name": b"X\x00: b\r\n",
        "a control character in a value": b"X: a\x01b\r\n",
        "ESC in a value": b"X: \x1b[2J\r\n",
        "DEL in a value": b"X: a\x7fb\r\n",
        "vertical tab after the value": b"X: y\x0b\r\n",
        "form feed after the value": b"X: y\x0c\r\n",
        "8 bit in a name": b"X\xe9: y\r\n",
        "parentheses in a name": b"X(a): y\r\n",
        "slash in a name": b"X/a: y\r\n",
        "quotes in a name": b'"X": y\r\n',
        "a name of 300 letters": b"X" * 300 + b": y\r\n",
        "200 fields": b"X: y\r\n" * 200,
        "a value of 40 KiB": b"X: " + b"y" * 40_000 + b"\r\n",
        "Expect something else": b"Expect: 200-ok\r\n",
        "two Hosts": b"Host: localhost\r\n",
        "two different Hosts": b"Host: evil\r\n",
    }.items():
        yield name, _get(extra=extra), None
    key = b"X-API-Key: {K}\r\n"
    for name, hosts in {
        "no Host": b"",
        "an empty Host": b"Host:\r\n",
        "Host with a path": b"Host: localhost/x\r\n",
        "Host with userinfo": b"Host: user@localhost\r\n",
        "Host with a space": b"Host: local host\r\n",
        "Host with a comma": b"Host: localhost, evil\r\n",
        "Host with a port of letters": b"Host: localhost:http\r\n",
        "Host with a port of six digits": b"Host: localhost:808080\r\n",
        "Host with a query": b"Host: localhost?x\r\n",
        "Host with a fragment": b"Host: localhost#x\r\n",
        "Host with half a bracket": b"Host: [::1\r\n",
        "Host with a backslash": b"Host: localhost\\x\r\n",
        "Host with angle brackets": b"Host: <script>\r\n",
        "Host in 8 bit": b"Host: localh\xf6st\r\n",
    }.items():
        yield name, b"GET /any/api/x HTTP/1.1\r\n" + hosts + key + b"\r\n", None
    for name, hosts in {"Host with a port": b"Host: localhost:8443\r\n", "Host in v6": b"Host: [::1]:80\r\n"}.items():
        yield name, b"GET /any/api/x HTTP/1.1\r\n" + hosts + key + b"\r\n", good


def _lengths() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    for name, value in {"plain": b"5", "a leading zero": b"05", "spaces round it": b"  5  "}.items():
        yield name, _post(b"Content-Length: " + value + b"\r\n", b"hello"), b"/x", b"hello"
    yield "zero", _post(b"Content-Length: 0\r\n", b""), b"/x", b""
    yield "none at all", _post(b"", b""), b"/x", b""
    for name, value in {
        "+5": b"+5",
        "-5": b"-5",
        "-0": b"-0",
        "0x5": b"0x5",
        "hex digits": b"5a",
        "5.0": b"5.0",
        "5e0": b"5e0",
        "5 5": b"5 5",
        "5,5": b"5,5",
        "5, 6": b"5, 6",
        "quoted": b'"5"',
        "empty": b"",
        "an underscore": b"0_5",
        "Arabic digits": b"\xd9\xa5",
        "full-width digits": b"\xef\xbc\x95",
        "superscript": b"\xe2\x81\xb5",
        "a semicolon": b"5;x",
        "20 digits": b"1" * 20,
        "2^64+5": b"18446744073709551621",
        "NUL after it": b"5\x00",
        "vertical tab before it": b"\x0b5",
        "chunked": b"chunked",
        "infinity": b"inf",
        "larger than allowed": b"99999999999",
    }.items():
        yield name, _post(b"Content-Length: " + value + b"\r\n", b"hello"), None, b""
    for name, fields in {
        "twice the same": b"Content-Length: 5\r\nContent-Length: 5\r\n",
        "twice, different": b"Content-Length: 5\r\nContent-Length: 6\r\n",
        "twice, one empty": b"Content-Length: 5\r\nContent-Length:\r\n",
        "three times": b"Content-Length: 5\r\n" * 3,
        "space before the colon": b"Content-Length : 5\r\n",
        "folded": b"Content-Length:\r\n 5\r\n",
        "bare LF after it": b"Content-Length: 5\n",
        "hidden behind a bare CR": b"X: y\rContent-Length: 5\r\n",
        "NUL in its name": b"Content-Length\x00: 5\r\n",
    }.items():
        yield name, _post(fields, b"hello"), None, b""
    yield "a body on GET", _get(extra=b"Content-Length: 5\r\n") + b"hello", b"/x", b"hello"


def _codings() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    whole = b"5\r\nhello\r\n0\r\n\r\n"
    for name, value in {"chunked": b"chunked", "in capitals": b"CHUNKED", "spaces round it": b"  chunked  "}.items():
        yield name, _chunked(whole, b"Transfer-Encoding:" + value + b"\r\n"), b"/x", b"hello"
    for name, value in {
        "a tab before it": b"\tchunked",
        "a tab after it": b"chunked\t",
        "gzip, chunked": b"gzip, chunked",
        "chunked, gzip": b"chunked, gzip",
        "chunked, chunked": b"chunked, chunked",
        "identity": b"identity",
        "identity, chunked": b"identity, chunked",
        "chunked, identity": b"chunked, identity",
        "gzip": b"gzip",
        "xchunked": b"xchunked",
        "chunkedx": b"chunkedx",
        "chunk": b"chunk",
        "an unknown one": b"cow",
        "quoted": b'"chunked"',
        "a semicolon": b"chunked;q=1",
        "a trailing comma": b"chunked,",
        "a leading comma": b",chunked",
        "empty": b"",
        "vertical tab before it": b"\x0bchunked",
        "vertical tab after it": b"chunked\x0b",
        "NUL after it": b"chunked\x00",
        "a non-breaking space": b"\xa0chunked",
        "a Kelvin sign": b"chun\xe2\x84\xaaed",
    }.items():
        yield name, _chunked(whole, b"Transfer-Encoding: " + value + b"\r\n"), None, b""
    chunked, length = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"
    for name, fields in {
        "CL.TE": length + chunked,
        "TE.CL": chunked + length,
        "CL 0.TE": b"Content-Length: 0\r\n" + chunked,
        "TE twice": chunked + chunked,
        "TE and identity": chunked + b"Transfer-Encoding: identity\r\n",
        "identity and TE": b"Transfer-Encoding: identity\r\n" + chunked,
        "TE and an unknown one": chunked + b"Transfer-Encoding: cow\r\n",
        "an empty one and TE": b"Transfer-Encoding:\r\n" + chunked,
        "space before the colon": b"Transfer-Encoding : chunked\r\n",
        "tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "space before the name": b" Transfer-Encoding: chunked\r\n",
        "folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "folded after another": b"X: y\r\n Transfer-Encoding: chunked\r\n",
        "bare LF before it": b"X: y\nTransfer-Encoding: chunked\r\n",
        "bare CR before it": b"X: y\rTransfer-Encoding: chunked\r\n",
        "NUL in its name": b"Transfer-Encoding\x00: chunked\r\n",
        "no colon": b"Transfer-Encoding chunked\r\n",
    }.items():
        yield name, _chunked(whole, fields), None, b""
    yield "in HTTP/1.0", _post(chunked, whole, b"1.0"), None, b""
    yield "in HTTP/1.0 with a length", _post(length + chunked, whole, b"1.0"), None, b""
    # With an underscore it frames nothing here, and must frame nothing behind.
    yield "length beside an underscore", _post(length + b"Transfer_Encoding: chunked\r\n", b"hello"), b"/x", b"hello"
    yield "chunked beside an underscore", _chunked(whole, chunked + b"Content_Length: 3\r\n"), b"/x", b"hello"


def _chunks() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    for name, body in {
        "plain": b"5\r\nhello\r\n0\r\n\r\n",
        "in two": b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
        "an extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
        "a quoted extension": b'5;a="b c"\r\nhello\r\n0\r\n\r\n',
        "a trailer": b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    }.items():
        yield name, _chunked(body), b"/x", b"hello"
    yield "capital hex", _chunked(b"A\r\nhellohello\r\n0\r\n\r\n"), b"/x", b"hellohello"
    yield "empty", _chunked(b"0\r\n\r\n"), b"/x", b""
    for name, body in {
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "+5": b"+5\r\nhello\r\n0\r\n\r\n",
        "-5": b"-5\r\nhello\r\n0\r\n\r\n",
        "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "space first": b" 5\r\nhello\r\n0\r\n\r\n",
        "tab first": b"\t5\r\nhello\r\n0\r\n\r\n",
        "space last": b"5 \r\nhello\r\n0\r\n\r\n",
        "vertical tab last": b"5\x0b\r\nhello\r\n0\r\n\r\n",
        "a size of nothing": b"\r\nhello\r\n0\r\n\r\n",
        "an extension of nothing": b";a=b\r\nhello\r\n0\r\n\r\n",
        "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        "2^64+5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        "no hex": b"g\r\nhello\r\n0\r\n\r\n",
        "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
        "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
        "bare LF at the end": b"5\r\nhello\r\n0\n\n",
        "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
        "bare CR after the data": b"5\r\nhello\r0\r\n\r\n",
        "no CRLF after the data": b"5\r\nhello0\r\n\r\n",
        "two bytes of something after the data": b"5\r\nhelloXX0\r\n\r\n",
        "longer than it says": b"4\r\nhello\r\n0\r\n\r\n",
        "shorter than it says": b"6\r\nhello\r\n0\r\n\r\n",
        "LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        "CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        "NUL in an extension": b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        "an extension of nothing but a semicolon": b"5;\r\nhello\r\n0\r\n\r\n",
        "an extension after a space": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        "an extension with a space": b"5;a b\r\nhello\r\n0\r\n\r\n",
        "an extension that quotes no end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
        "an extension without end": b"5;" + b"a" * 3000 + b"\r\nhello\r\n0\r\n\r\n",
        "an extension without a semicolon": b"5 a=b\r\nhello\r\n0\r\n\r\n",
        "a trailer without a colon": b"5\r\nhello\r\n0\r\nX\r\n\r\n",
        "a trailer with a space before the colon": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "a trailer that frames": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "a trailer with a length": b"5\r\nhello\r\n0\r\ncontent-length: 5\r\n\r\n",
        "a folded trailer": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
        "a trailer ended by LF": b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        "trailers of 20 KiB": b"5\r\nhello\r\n0\r\n" + b"X: yyyyyyyyyyyyyy\r\n" * 1200 + b"\r\n",
        "a chunk that hides a request": b"5\r\nhello\r\n0\r\nGET /any/api/smuggled HTTP/1.1\r\n\r\n",
    }.items():
        yield name, _chunked(body), None, b""


def _targets() -> Iterator[tuple[str, bytes, bytes | None]]:
    """Odd targets that are legal go on byte for byte; those that lead elsewhere go nowhere."""
    for name, rest in {
        "an encoded slash": b"/a%2Fb",
        "double slash": b"/a//b",
        "a semicolon": b"/a;b=c/d",
        "brackets in the query": b"/x?a=[|]{}^`",
        "a quote in the query": b'/x?a="<>',
        "an empty query": b"/x?",
        "two question marks": b"/x?a?b",
        "lower-case escapes": b"/%c3%a9",
        "an encoded space": b"/a%20b",
        "at and colon": b"/@a:b",
        "a path of three dots": b"/.../x",
        "dots inside": b"/a..b/.c",
        "a slash at the end": b"/x/",
        "dot segments in the query": b"/x?../../y",
        "a URL in the path": b"/http://x/y",
        "a wild mixture": b"/~!$&'()*+,;=:@-._",
    }.items():
        yield name, _get(b"/any/api" + rest), rest
    for name, path in {
        "dot dot": b"/any/api/../api/x",
        "dot": b"/any/api/./x",
        "dot dot at the end": b"/any/api/x/..",
        "encoded dots": b"/any/api/%2e%2e/x",
        "half encoded": b"/any/api/.%2e/x",
        "encoded twice": b"/any/api/%252e%252e/x",
        "dots before an encoded slash": b"/any/api/..%2fx",
        "dots before a backslash": b"/any/api/..%5cx",
        "a matrix parameter": b"/any/api/..;/x",
        "a matrix parameter with a name": b"/any/api/..;a=b/x",
        "overlong": b"/any/api/%c0%ae%c0%ae/x",
        "an overlong slash": b"/any/api/..%c0%afx",
        "NUL": b"/any/api/x%00",
        "CR LF": b"/any/api/x%0d%0aX:y",
        "half an escape": b"/any/api/x%2",
        "an escape that is none": b"/any/api/x%zz",
        "an encoded route": b"/%61ny/api/x",
        "a doubled first slash": b"//any/api/x",
        "another case": b"/ANY/api/x",
        "a longer name": b"/any/apix",
        "below nothing": b"/x",
        "encoded too often": b"/any/api/%2525252525252e",
    }.items():
        yield name, _get(path), None


def _pipelines() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    """Bytes behind a request that is refused are never a request."""
    yield (
        "behind a bad key",
        b"GET /any/api/x HTTP/1.1\r\nHost: x\r\nX-API-Key: bad\r\nContent-Length: 5\r\n\r\nhi",
        None,
        b"",
    )
    yield "behind a bad head", b"GET /any/api/x HTTP/1.1\r\n{H}X : y\r\n\r\n" + SMUGGLED, None, b""
    yield "behind a doubled length", _post(b"Content-Length: 0\r\nContent-Length: 5\r\n", SMUGGLED), None, b""
    yield (
        "behind both",
        _post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        None,
        b"",
    )
    yield "inside a body", _post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED), b"/x", SMUGGLED
    yield "inside a chunk", _chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)), b"/x", SMUGGLED
    yield (
        "behind an upgrade that is none",
        _get(extra=b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        b"/x",
        b"",
    )
    yield (
        "behind an upgrade with a body",
        _post(b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n", b"hi"),
        b"/x",
        b"hi",
    )


def _more_lines() -> Iterator[tuple[str, bytes, bytes | None]]:
    """Greetings of other protocols, and absolute and authority forms at their edges."""
    good = b"/x"
    yield (
        "absolute form, the port that Host has",
        b"GET http://localhost:81/any/api/x HTTP/1.1\r\nHost: localhost:81\r\nX-API-Key: {K}\r\n\r\n",
        good,
    )
    yield "absolute form, a default port", _get(line=b"GET http://localhost:80/any/api/x HTTP/1.1"), good
    yield "a target of 8 KiB", _get(b"/any/api/" + b"a" * 8000), b"/" + b"a" * 8000
    for name, line in {
        "absolute form, another port": b"GET http://localhost:1/any/api/x HTTP/1.1",
        "absolute form, no path": b"GET http://localhost HTTP/1.1",
        "absolute form, a query only": b"GET http://localhost?/any/api/x HTTP/1.1",
        "absolute form, backslashes": b"GET http:\\\\localhost\\any\\api\\x HTTP/1.1",
        "absolute form, an encoded host": b"GET http://%6cocalhost/any/api/x HTTP/1.1",
        "absolute form, an encoded slash after the host": b"GET http://localhost%2fany/api/x HTTP/1.1",
        "absolute form, a fragment": b"GET http://localhost/any/api/x#y HTTP/1.1",
        "absolute form, ws": b"GET ws://localhost/any/api/x HTTP/1.1",
        "absolute form, one slash": b"GET http:/localhost/any/api/x HTTP/1.1",
        "absolute form, dot segments": b"GET http://localhost/any/api/../api/x HTTP/1.1",
        "absolute form, an empty port": b"GET http://localhost:/any/api/x HTTP/1.1",
        "absolute form, two hosts": b"GET http://localhost,evil/any/api/x HTTP/1.1",
        "authority form": b"GET localhost:80 HTTP/1.1",
        "the whole server": b"OPTIONS * HTTP/1.1",
        "a target of 40 KiB": b"GET /any/api/" + b"a" * 40_000 + b" HTTP/1.1",
        "a no-break space": b"GET\xa0/any/api/x HTTP/1.1",
        "a next-line character": b"GET /any/api/x\x85HTTP/1.1",
        "a method in full width": b"\xef\xbc\xa7ET /any/api/x HTTP/1.1",
        "a method with an override": b"GET,DELETE /any/api/x HTTP/1.1",
        "M-SEARCH": b"M-SEARCH * HTTP/1.1",
        "an answer": b"HTTP/1.1 200 OK",
        "two request lines": b"GET /any/api/x HTTP/1.1\r\nGET /any/api/y HTTP/1.1",
        "a PROXY line": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /any/api/x HTTP/1.1",
        "another mail server": b"EHLO localhost",
        "a shell": b"SSH-2.0-OpenSSH_9.2",
        "NUL after the version": b"GET /any/api/x HTTP/1.1\x00",
        "a version of Arabic digits": b"GET /any/api/x HTTP/\xd9\xa1.\xd9\xa1",
    }.items():
        yield name, _get(line=line), None
    yield "a PROXY header of version 2", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + _get(), None


def _more_fields() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    """Hosts at their edges, and what `Connection` and names with an underscore would do."""
    for name, host in {
        "Host of a dot": b".",
        "Host with two dots at its end": b"localhost..",
        "Host with an empty label": b"local..host",
        "Host as a URL": b"http://localhost",
        "Host with an empty port": b"localhost:",
        "Host with a port too high": b"localhost:65536",
        "Host with a signed port": b"localhost:+80",
        "Host with two ports": b"localhost:80:80",
        "Host with a zone": b"[fe80::1%25eth0]",
        "Host of an encoded letter": b"%6cocalhost",
        "Host with a semicolon": b"localhost;evil",
        "Host with a tab inside": b"local\thost",
        "Host in quotes": b'"localhost"',
    }.items():
        yield name, b"GET /any/api/x HTTP/1.1\r\nHost: " + host + b"\r\nX-API-Key: {K}\r\n\r\n", None, b""
    for name, fields in {
        "Host beside an underscore": b"Ho_st: evil\r\n",
        "Connection names the length": b"Connection: Content-Length\r\nContent-Length: 5\r\n",
        "Connection names the length and Host": b"Connection: Host, content-length, x-api-key\r\nContent-Length: 5\r\n",
        "Connection in two lines": b"Connection: keep-alive\r\nConnection: content-length\r\nContent-Length: 5\r\n",
        "Connection of commas": b"Connection: ,,,\r\nContent-Length: 5\r\n",
        "a length of 15 digits": b"Content-Length: 000000000000005\r\n",
        "a length in odd case": b"cOnTeNt-LeNgTh: 5\r\n",
        "a length beside one in a query": b"Content-Length: 5\r\nX-Forwarded-Content-Length: 3\r\n",
    }.items():
        yield (
            name,
            _post(b"Content-Length: 5\r\n" * (b"ength: " not in fields.lower()) + fields, b"hello"),
            b"/x",
            b"hello",
        )
    for name, fields in {
        "Connection names the coding": b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
        "Connection close, TE": b"Connection: close, TE\r\nTE: trailers, chunked\r\nTransfer-Encoding: chunked\r\n",
        "a coding in odd case": b"tRANSFER-eNCODING: cHUNKED\r\n",
        "a coding without a space": b"Transfer-Encoding:chunked\r\n",
    }.items():
        yield name, _post(fields, b"5\r\nhello\r\n0\r\n\r\n"), b"/x", b"hello"
    for name, fields in {
        "a length of 16 digits": b"Content-Length: 0000000000000005\r\n",
        "a length with a no-break space": b"Content-Length: \xa05\r\n",
        "a length with a comment": b"Content-Length: 5 (five)\r\n",
        "a length whose name ends in a no-break space": b"Content-Length\xa0: 5\r\n",
        "a length of a newline in an encoding": b"Content-Length: 5%0d%0a\r\n",
        "a length, then an empty one": b"Content-Length: 5\r\nContent-Length: \r\n",
        "a coding split by NUL": b"Transfer-Encoding: ch\x00unked\r\n",
        "a coding after a comma and a tab": b"Transfer-Encoding: ,\tchunked\r\n",
        "deflate, chunked": b"Transfer-Encoding: deflate, chunked\r\n",
        "br, chunked": b"Transfer-Encoding: br, chunked\r\n",
        "chunked over two fields": b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "chunked, then nothing": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: \r\n",
        "a coding whose name ends in a tab": b"Transfer-Encoding\t: chunked\r\n",
        "a coding behind a vertical tab": b"X: y\x0bTransfer-Encoding: chunked\r\n",
        "a coding behind NEL": b"X: y\x85\nTransfer-Encoding: chunked\r\n",
        "a folded length": b"X: y\r\n\tContent-Length: 5\r\n",
        "Expect twice, one of them odd": b"Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x\r\n",
        "Expect with a parameter": b"Content-Length: 5\r\nExpect: 100-continue;x=y\r\n",
        "Expect of nothing": b"Content-Length: 5\r\nExpect:\r\n",
        "Expect of two": b"Content-Length: 5\r\nExpect: 100-continue, 100-continue\r\n",
    }.items():
        yield name, _post(fields, b"5\r\nhello\r\n0\r\n\r\n"), None, b""


def _more_chunks() -> Iterator[tuple[str, bytes, bytes | None, bytes]]:
    for name, body in {
        "a trailer that shows a key": b"5\r\nhello\r\n0\r\nX-API-Key: bad\r\n\r\n",
        "a trailer of an encoding": b"5\r\nhello\r\n0\r\nContent-Encoding: gzip\r\n\r\n",
        "an extension in quotes with a backslash": b'5;a="\\""\r\nhello\r\n0\r\n\r\n',
        "a last size of 15 zeros": b"5\r\nhello\r\n000000000000000\r\n\r\n",
    }.items():
        yield name, _chunked(body), b"/x", b"hello"
    for name, body in {
        "a size of 16 digits": b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "an extension ended by LF": b"5;\nhello\r\n0\r\n\r\n",
        "an extension ended by CR": b"5;a\rX\nhello\r\n0\r\n\r\n",
        "an extension with CRLF in quotes": b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n',
        "an extension with a value of nothing": b"5;a=\r\nhello\r\n0\r\n\r\n",
        "an extension in 8 bit": b"5;\xe9\r\nhello\r\n0\r\n\r\n",
        "a size of an accent": b"5\xcc\x81\r\nhello\r\n0\r\n\r\n",
        "a size of a superscript": b"\xb2\r\nhe\r\n0\r\n\r\n",
        "a size with a comma": b"5,5\r\nhello\r\n0\r\n\r\n",
        "a size with NUL": b"5\x00\r\nhello\r\n0\r\n\r\n",
        "a last size of -0": b"5\r\nhello\r\n-0\r\n\r\n",
        "a last size of 0x0": b"5\r\nhello\r\n0x0\r\n\r\n",
        "a last size with a space": b"5\r\nhello\r\n0 \r\n\r\n",
        "CR CR LF after the size": b"5\r\r\nhello\r\n0\r\n\r\n",
        "LF CR after the data": b"5\r\nhello\n\r0\r\n\r\n",
        "a trailer of Host": b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n",
        "a trailer of Expect": b"5\r\nhello\r\n0\r\nExpect: 100-continue\r\n\r\n",
        "a trailer of nothing": b"5\r\nhello\r\n0\r\n: y\r\n\r\n",
        "a trailer with NUL": b"5\r\nhello\r\n0\r\nX: a\x00\r\n\r\n",
        "a trailer with a bare CR": b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n",
    }.items():
        yield name, _chunked(body), None, b""


def _more_targets() -> Iterator[tuple[str, bytes, bytes | None]]:
    for name, rest in {
        "full-width dots": b"/%ef%bc%8e%ef%bc%8e/x",
        "full-width letters": b"/%ef%bd%81",
        "a percent sign, encoded": b"/100%25",
        "the root of the route": b"/",
        "a name of Latin-1": b"/%c0%c9",
        "a query of CR LF": b"/x?a=%0d%0aSet-Cookie:b",
        "a query of NUL": b"/x?a=%00",
        "a query of a bad escape": b"/x?a=%zz",
        "a path of semicolons": b"/;;;/x",
        "a path with a comma": b"/a,b",
    }.items():
        yield name, _get(b"/any/api" + rest), rest
    for name, path in {
        "dots encoded three times over": b"/any/api/%25%32%65%25%32%65/x",
        "a slash encoded before dots": b"/any/api/a%2f..%2f..%2fx",
        "a backslash encoded twice": b"/any/api/..%255cx",
        "dots behind an empty segment": b"/any/api//../x",
        "dots before a semicolon, encoded": b"/any/api/..%3b/x",
        "dot before a semicolon": b"/any/api/.;/x",
        "overlong in two, the second byte plain": b"/any/api/%c0%2e%c0%2e/x",
        "an overlong slash, the second byte plain": b"/any/api/..%c0%2fx",
        "overlong in four": b"/any/api/%f0%80%80%ae%f0%80%80%ae/x",
        "%u": b"/any/api/%u002e%u002e/x",
        "a tab, encoded": b"/any/api/..%09/x",
        "a newline, encoded, before a version": b"/any/api/x%20HTTP/1.1%0d%0aX:%20y",
        "a semicolon in the route": b"/any;a/api/x",
        "a semicolon after the route": b"/any/api;/x",
        "an encoded slash in the route": b"/any%2fapi/x",
        "a doubled slash in the route": b"/any//api/x",
        "a NUL after the route": b"/any/api%00/x",
        "another service by way of this one": b"/any/api/..%2f..%2fchat/api/x",
        "the gate's own by way of a semicolon": b"/health;/../any/api/x",
        "a carriage return alone": b"/any/api/x%0d",
        "DEL": b"/any/api/x%7f",
        "a backslash first": b"/any/api/%5cx/..%5cy",
    }.items():
        yield name, _get(path), None


def cases() -> list[Case]:
    """Every case, each under a name of its own."""
    made = [Case("request line", name, data, target) for name, data, target in _lines()]
    made += [Case("field", name, data, target) for name, data, target in _fields()]
    made += [Case("length", name, data, target, body) for name, data, target, body in _lengths()]
    made += [Case("transfer coding", name, data, target, body) for name, data, target, body in _codings()]
    made += [Case("chunk", name, data, target, body) for name, data, target, body in _chunks()]
    made += [Case("target", name, data, target) for name, data, target in _targets()]
    made += [Case("pipeline", name, data, target, body) for name, data, target, body in _pipelines()]
    made += [Case("request line", name, data, target) for name, data, target in _more_lines()]
    made += [Case("field", name, data, target, body) for name, data, target, body in _more_fields()]
    made += [Case("chunk", name, data, target, body) for name, data, target, body in _more_chunks()]
    made += [Case("target", name, data, target) for name, data, target in _more_targets()]
    return made


def filled(case: Case, key: str) -> bytes:
    """The case's bytes with a key."""
    lines = b"Host: localhost\r\nX-API-Key: " + key.encode() + b"\r\n"
    if b"{L}" in case.data:
        lines = lines.replace(b"\r\n", b"\n")
    return case.data.replace(b"{L}", b"").replace(b"{K}", key.encode()).replace(b"{H}", lines)
