"""multipart/form-data: one reading only."""

import pytest

from edge.core.inspect import model_of
from edge.core.multipart import MOST_PARTS, MultipartError, parts
from edge.core.refusal import Refusal

TYPE = b"multipart/form-data; boundary=xYz"


def body(*made: bytes, end: bytes = b"--xYz--\r\n") -> bytes:
    return b"".join(b"--xYz\r\n" + part + b"\r\n" for part in made) + end


def value(name: bytes, text: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name, text)


AUDIO = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n\x00\xff--xY\r\n\r\n--'
MODEL = value(b"model", b"whisper-1")


def reading(given: bytes, content_type: bytes = TYPE) -> object:
    found = model_of(given, content_type, "form:model")
    return found.reason if isinstance(found, Refusal) else found


@pytest.mark.parametrize(
    "content_type", [TYPE, b'Multipart/Form-Data; boundary="xYz"', b"multipart/form-data;boundary=xYz "]
)
def test_what_clients_send_is_read(content_type: bytes) -> None:
    assert reading(body(AUDIO, MODEL), content_type) == "whisper-1"
    assert reading(body(MODEL, AUDIO, end=b"--xYz--"), content_type) == "whisper-1"
    assert reading(body(AUDIO), content_type) is None


def test_parts_are_seen_whole_and_not_copied() -> None:
    given = body(AUDIO, MODEL)
    audio, model = parts(given, TYPE)
    assert (audio.name, audio.is_file, bytes(audio.content)) == ("file", True, b"\x00\xff--xY\r\n\r\n--")
    assert (model.name, model.is_file, bytes(model.content)) == ("model", False, b"whisper-1")
    assert audio.content.obj is given


def test_an_httpx_upload_is_read() -> None:
    httpx = pytest.importorskip("httpx")
    request = httpx.Request(
        "POST", "http://x/", files={"file": ('ä"b.wav', b"RIFF")}, data={"model": "tiny", "language": "de"}
    )
    request.read()
    assert reading(request.content, request.headers["content-type"].encode()) == "tiny"


@pytest.mark.parametrize(
    "given",
    [
        body(MODEL, value(b"model", b"other")),
        body(MODEL, value(b"Model", b"other")),
        body(value(b"model", b"\xff")),
        body(b'Content-Disposition: form-data; name="model"; filename="m"\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="model"; filename=m\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="model"; name="x"\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="x"; name*=utf-8\'\'model\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="mo\\del"\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="mod%65l"\r\n\r\nother'),
        body(b"Content-Disposition: form-data; name=model\r\n\r\nother"),
        body(b"Content-Disposition: form-data\r\n\r\nother"),
        body(b'Content-Disposition: attachment; name="model"\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\nother'),
        body(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\nother'),
        body(b'Content-Disposition : form-data; name="model"\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="model"\n\nother'),
        body(b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64\r\n\r\nb3RoZXI='),
        body(b'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\nother'),
        body(b'Content-Disposition: form-data; name="x"\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q--'),
        body(value(b"_charset_", b"utf-16"), MODEL),
        body(b"\r\nno head"),
        body(b"X: y\r\n\r\nno name"),
        body(MODEL, end=b""),
        body(MODEL, end=b"--xYz--\r\n--xYz\r\n" + value(b"model", b"other")),
        b"preamble\r\n" + body(MODEL),
        body(AUDIO + b"\n--xYz\n" + value(b"model", b"other"), MODEL),
        body(AUDIO + b"\r\n--xYz \r\n" + value(b"model", b"other"), MODEL),
        body(AUDIO + b"--xYz--", MODEL),
        b"--xYz--\r\n" + body(MODEL),
        body(*[value(b"x", b"1")] * (MOST_PARTS + 1)),
        b'{"model":"whisper-1"}',
        b"--xYz",
    ],
)  # fmt: skip
def test_whatever_another_reader_may_see_is_refused(given: bytes) -> None:
    assert reading(given) == "ambiguous-body"


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=xYz; boundary=q",
        b"multipart/form-data; boundary=xYz; charset=utf-16",
        b'multipart/form-data; boundary="xYz',
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/form-data, boundary=xYz",
        b"multipart/form-data; boundary=xYz, multipart/form-data; boundary=xYz",
        b"multipart/form-data; boundary*=utf-8''xYz",
        b"multipart/form-data; boundary*0=xY; boundary*1=z",
        # What ends a token ends the boundary to some readers, and the body may hold that one as well.
        *(b"multipart/form-data; boundary=xYz" + each + b"q" for each in (b",", b"=", b"/", b":", b"?", b"(", b")")),
    ],
)
def test_an_odd_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(MultipartError):
        parts(body(MODEL), content_type)
    assert reading(body(MODEL), content_type) == "ambiguous-body"
