"""Paths that are remembered are judged as if they were not."""

import pytest

from edge.core.refusal import Refusal
from edge.core.routing import LONGEST, REMEMBERED, _forms, _remembered_forms, forms


@pytest.mark.parametrize(
    "path", [b"/chat/api/v1/models", b"/a/../b", b"/a%2e%2e/b", b"/a//b", b"/%zz", b"/\xff", b"/" + b"a/" * LONGEST]
)
def test_the_second_look_at_a_path_sees_what_the_first_saw(path: bytes) -> None:
    assert forms(path) == forms(path) == _forms(path)


def test_no_more_than_so_many_paths_are_remembered_and_no_long_ones() -> None:
    _remembered_forms.cache_clear()
    for number in range(2 * REMEMBERED):
        assert not isinstance(forms(b"/path/%d" % number), Refusal)
    forms(b"/" + b"a" * LONGEST)
    assert _remembered_forms.cache_info().currsize == REMEMBERED
