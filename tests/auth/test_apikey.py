"""Where a request carries its key."""

import pytest

from edge.auth.apikey import credentials, too_many
from edge.core.headers import fields


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(scheme: str) -> None:
    assert credentials(fields([("Authorization", f"{scheme} k1")])) == (b"k1",)


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer  ", "Bearerk1", "k1", ""])
def test_other_authorizations_are_no_keys(value: str) -> None:
    assert credentials(fields([("Authorization", value)])) == ()


def test_every_distinct_value_counts_once() -> None:
    shown = [("authorization", "Bearer a"), ("X-API-Key", "b"), ("api-key", "a"), ("x-api-key", "b")]
    assert credentials(fields(shown)) == (b"a", b"b")


def test_a_fourth_value_makes_it_too_many() -> None:
    shown = [("authorization", "Bearer a"), ("x-api-key", "b"), ("x-api-key", "c")]
    assert too_many(fields(shown)) is None
    refusal = too_many(fields([*shown, ("api-key", "d")]))
    assert refusal is not None
    assert refusal.status == 400
