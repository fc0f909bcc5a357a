"""The list of the world's top-level domains."""

from edge.core.toplevel import TOP_LEVEL


def test_it_has_the_worlds_and_none_of_a_home() -> None:
    assert {"com", "de", "dev", "box", "ai"} <= TOP_LEVEL
    assert not {"local", "lan", "home", "internal", "localhost", "server"} & TOP_LEVEL
    assert all(name.isascii() and name.isalpha() and name.islower() for name in TOP_LEVEL)
