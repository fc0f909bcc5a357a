from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.redact import LONGEST, printable, redacted
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
    ],
)
def test_values_where_secrets_are_often_put_are_not_shown(target, shown):
    assert redacted(target) == shown


@given(st.sampled_from([b"/%b", b"/a/%b/b", b"/a?x=%b", b"/a?x=1&%b=2", b"/?%b"]))
def test_a_key_of_ours_is_never_shown_wherever_it_stands(place):
    key = mint("0badcafe", uuid4()).encode()
    assert key not in redacted(place % key) and key[4:40] not in redacted(place % key)


@given(st.binary(max_size=2 * LONGEST))
def test_what_is_written_down_is_one_printable_line_of_bounded_length(raw):
    shown = printable(raw)
    assert (shown.isprintable() and shown.isascii()) or shown.endswith("…")
    assert len(shown.rstrip("…")) <= 4 * LONGEST and "\n" not in shown and "\x1b" not in shown


def test_long_text_is_cut_and_says_so():
    assert printable(b"a" * 10, 4) == "aaaa…" and printable(b"a" * 4, 4) == "aaaa"
    assert printable(b"\x1b[31m\n\xff") == "\\x1b[31m\\x0a\\xff"
