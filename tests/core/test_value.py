from edge.core.value import value


@value
class Point:
    x: int
    y: int = 0


def test_values_that_are_alike_are_equal_and_hash_alike():
    assert Point(1) == Point(1, 0) != Point(1, 2)
    assert len({Point(1), Point(1, 0)}) == 1


def test_a_value_has_no_room_for_anything_else():
    assert not hasattr(Point(1), "__dict__")
