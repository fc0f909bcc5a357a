from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from edge.core.times import moment

NOW = 1_790_000_000.0
TOKYO = ZoneInfo("Asia/Tokyo")


def test_a_date_is_the_midnight_that_begins_it_in_the_zone_that_is_given():
    assert moment("2026-11-04", NOW, TOKYO) == datetime(2026, 11, 4, tzinfo=TOKYO).timestamp()
    assert moment("2026-11-04 18:00", NOW, TOKYO) == datetime(2026, 11, 4, 18, tzinfo=TOKYO).timestamp()
    assert moment("2026-11-04", NOW) == datetime(2026, 11, 4).timestamp()


def test_an_offset_stands_and_a_duration_is_from_now():
    assert moment("2026-11-04T09:00:00Z", NOW, TOKYO) == moment("2026-11-04T18:00+09:00", NOW)
    assert moment("30d", NOW, TOKYO) == NOW + 30 * 86_400 and moment("now", NOW) == NOW


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "1969-01-01", "2100-01-02", "24:00"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(ValueError, match=r"is not a time|lies before"):
        moment(text, NOW, TOKYO)
