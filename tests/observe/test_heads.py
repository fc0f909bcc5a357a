from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.core.chain import START, Link, seal
from edge.observe.heads import bears_mark, marked

KEY = Ed25519PrivateKey.generate()
AFTER = Link(7, "ab" * 32)


def line(body: str, after: Link = AFTER) -> bytes:
    return seal(body, after)[0].rstrip("\n").encode()


def test_a_mark_is_good_for_one_line_at_one_place_and_one_key():
    body = marked(KEY, '"what":"key","user":"Zoë"', AFTER)
    assert bears_mark(KEY, line(body))
    assert not bears_mark(Ed25519PrivateKey.generate(), line(body))
    assert not bears_mark(KEY, line(body.replace("Zoë", "Zoe")))
    assert not bears_mark(KEY, line(body, START)) and not bears_mark(KEY, line(body, Link(7, "cd" * 32)))
    assert not bears_mark(KEY, line(body).replace(b'"n":8', b'"n":9'))


def test_what_has_no_mark_or_is_no_line_bears_none():
    for text in (
        b"",
        b"{}",
        b"\xff",
        line('"what":"key"'),
        line('"mark":""'),
        line('"what":"key","mark":"' + "0" * 64 + '"'),
    ):
        assert not bears_mark(KEY, text)
