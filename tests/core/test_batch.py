from edge.core.batch import Batch, Block, lines, split

PAIRS = [(b"Host", b"a"), (b"X-Odd-CASE", b"1"), (b"x-odd-case", b"2")]


def test_fields_are_written_in_order_each_with_its_end():
    assert lines(PAIRS) == b"Host: a\r\nX-Odd-CASE: 1\r\nx-odd-case: 2\r\n"
    assert lines([]) == b""


def test_a_batch_is_its_block_and_what_was_added():
    batch = Batch(Block(PAIRS[:1]), PAIRS[2:], lines(PAIRS[1:2]))
    assert list(batch) == PAIRS and len(batch) == 3
    assert lines(batch) == lines(PAIRS)


def test_what_was_written_is_read_again():
    odd = [*PAIRS, (b"Empty", b""), (b"Colons", b"a: b: c"), (b"Spaced", b" d ")]
    assert split(lines(odd)) == odd
    assert split(b"") == []


def test_a_block_is_not_changed_by_the_list_that_it_was_made_of():
    given = PAIRS[:]
    block = Block(given)
    given.clear()
    assert list(block.pairs) == PAIRS and block.lines == lines(PAIRS)
