"""Which old keys are easy to guess."""

from uuid import uuid4

import pytest

from edge.core.weakness import weakness


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("hunter2", "characters"),
        ("x" * 40, "repeats"),
        ("abc123abc123abc123abc123", "repeats"),
        ("my-secret-api-key-2024-test", "dictionary"),
        ("CorrectHorseBatteryStaple!", ""),
        ("supersecretpassword-home-server", "dictionary"),
        ("abcdefghijklmnopqrstuvwxyz", "order"),
        ("12345678901234567890123456", "order"),
    ],
)
def test_weak_ones_are_seen(secret: str, why: str) -> None:
    assert why in weakness(secret)
    assert bool(weakness(secret)) == bool(why)


def test_random_ones_are_not() -> None:
    for _ in range(500):
        assert weakness(uuid4().hex) == ""
        assert weakness(f"sk-{uuid4()}") == ""
