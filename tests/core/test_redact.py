from itertools import cycle
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.redact import LONGEST, ROUNDS, printable, redacted
from edge.core.secrets import mint


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/a?b=c", b"/a?b=c"),
        (b"/a?api_key=SECRET&b=c", b"/a?api_key=***&b=c"),
        (b"/a?b=c&Token=SECRET", b"/a?b=c&Token=***"),
        (b"/a?access_token=SECRET;x=1", b"/a?access_token=***;x=1"),
        (b"/a;session=SECRET/b", b"/a;session=***"),
        (b"/a?x-goog-signature=SECRET", b"/a?x-goog-signature=***"),
        (b"/a?monkey=1", b"/a?monkey=***"),
        (b"/a?keyboard=1", b"/a?keyboard=1"),
        (b"/a?ticket=SECRET", b"/a?ticket=***"),
        (b"/a?password=", b"/a?password="),
        (b"https://alice:SECRET@page.example/x@y", b"https://***@page.example/x@y"),
        (b"/a@b", b"/a@b"),
        (b"/a?token[]=SECRET&b=c", b"/a?token[]=***&b=c"),
        (b"/a?user[password]=SECRET", b"/a?user[password]=***"),
        (b"/a?user%5Bpassword%5D=SECRET", b"/a?user%5Bpassword%5D=***"),
        (b"/a?api+key=SECRET", b"/a?api+key=***"),
        (b"/a?$token=SECRET&(key)=SECRET", b"/a?$token=***&(key)=***"),
        (b"/a?passphrase=SECRET&tokens=SECRET", b"/a?passphrase=***&tokens=***"),
        (b"/a?token=SECRET;SECRET&b=c;d", b"/a?token=***&b=c;d"),
        (b"/a?token=SECRET;SECRET;x=1;SECRET", b"/a?token=***;x=1;SECRET"),
        (b"/a?q=monkey&x=token", b"/a?q=monkey&x=token"),
        (b"https://alice:SEC@RET@page.example/x@y", b"https://***@page.example/x@y"),
    ],
)
def test_values_where_secrets_are_often_put_are_not_shown(target, shown):
    assert redacted(target) == shown


@given(st.sampled_from([b"/%b", b"/a/%b/b", b"/a?x=%b", b"/a?x=1&%b=2", b"/?%b"]))
def test_a_key_of_ours_is_never_shown_wherever_it_stands(place):
    key = mint("0badcafe", uuid4()).encode()
    assert key not in redacted(place % key) and key[4:40] not in redacted(place % key)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/a?u=https%3A%2F%2Falice%3ASECRET%40page.example%2Fx", b"/a?u=https://***@page.example/x"),
        (b"//alice%3ASECRET%40page.example/x", b"//***@page.example/x"),
        (b"/a?next=%2Fb%3Ftoken%3DSECRET%26c%3Dd", b"/a?next=/b?token=***&c=d"),
        (b"/a?next=%252Fb%253Ftoken%253DSECRET%2526c%253Dd", b"/a?next=/b?token=***&c=d"),
        (b"/aig%5f1a2b3c4d_SECRET/b", b"/***/b"),
        (b"/%61%69g%5F1a2b3c4d%5fSECRET/b", b"/***/b"),
        (b"/a%20b%22%0a%ff%25?next=%3Fkey%3DSECRET", b"/a%20b%22%0A%FF%25?next=?key=***"),
        (b"/a%20b?c=%2Fd%3D%40%5f%41&e=%zz%", b"/a%20b?c=%2Fd%3D%40%5f%41&e=%zz%"),
    ],
)
def test_a_secret_behind_percent_encoding_is_not_shown_and_all_else_stays_encoded(target, shown):
    assert redacted(target) == shown


def encoded(text: bytes, which: list[bool]) -> bytes:
    return b"".join(b"%%%02x" % byte if hide else bytes([byte]) for byte, hide in zip(text, cycle(which), strict=False))


veils = st.lists(st.lists(st.booleans(), min_size=1, max_size=20), max_size=ROUNDS)


@given(veils, st.sampled_from([b"/%b", b"/a/%b/b", b"/a?x=%b", b"/a?x=1&%b=2", b"/?%b"]))
def test_no_encoding_hides_a_key_of_ours(veils, place):
    hidden = key = mint("0badcafe", uuid4()).encode()
    for veil in veils:
        hidden = encoded(hidden, veil)
    shown = redacted(place % hidden)
    for _ in range(ROUNDS + 1):
        assert key[12:40] not in shown
        shown = unquote_to_bytes(shown)


@given(
    veils,
    st.sampled_from([b"https://alice:SECRET@h/", b"/b?api_key=SECRET", b"?token[]=SECRET", b"&jwt=SECRET;SECRET"]),
)
def test_no_encoding_hides_a_password_or_a_parameter_that_is_called_like_a_secret(veils, text):
    for veil in veils:
        text = encoded(text, veil)
    shown = redacted(b"/a?next=" + text)
    for _ in range(ROUNDS + 1):
        assert b"SECRET" not in shown
        shown = unquote_to_bytes(shown)


@given(st.binary(max_size=2 * LONGEST))
def test_what_was_redacted_has_nothing_left_to_redact_and_no_new_characters(raw):
    shown = redacted(raw)
    assert redacted(shown) == shown
    assert shown == raw or set(shown) <= set(raw) | set(b"*%0123456789ABCDEF") | set(range(0x21, 0x7F)) - set(b'"')


@given(st.binary(max_size=2 * LONGEST))
def test_what_is_written_down_is_one_printable_line_of_bounded_length(raw):
    shown = printable(raw)
    assert (shown.isprintable() and shown.isascii()) or shown.endswith("…")
    assert len(shown.rstrip("…")) <= 4 * LONGEST and "\n" not in shown and "\x1b" not in shown


def test_long_text_is_cut_and_says_so():
    assert printable(b"a" * 10, 4) == "aaaa…" and printable(b"a" * 4, 4) == "aaaa"
    assert printable(b"\x1b[31m\n\xff") == "\\x1b[31m\\x0a\\xff"
