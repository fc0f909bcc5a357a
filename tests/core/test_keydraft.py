"""Rules as people give them, and as they are written down."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.keydraft import SCOPES, blank, redrafted
from edge.core.keyrules import to_key, to_rules
from edge.core.times import moment, span, stamp
from edge.testing import key

NOW = 1_000_000.0
FULL: dict[str, Any] = {
    "user": "alice", "service": ["chat", "my-tts"], "scope": ["manage"], "model": ["gemma*"], "method": ["get"], "path": ["/v1/*"],
    "allow": ["192.168.1.7/24", "2001:db8::/32", "::ffff:10.0.0.0/104"], "limit": ["60/minute", "5 tokens/day", "concurrent=2"],
    "hours": "mon-fri 15:00-20:00", "tz": "Europe/Berlin", "expires": "30d", "not-before": "now", "rotate-every": "90d",
    "weight": "2.5", "batch": True,
}  # fmt: skip


def draft(**raw: Any) -> Any:
    return redrafted(blank("0badcafe"), {"user": "alice", "service": "chat", **raw}, NOW, "UTC")


def test_everything_is_read_and_survives_being_written_down() -> None:
    made = redrafted(blank("0badcafe"), FULL, NOW, "UTC")
    assert list(map(str, made.networks)) == ["192.168.1.0/24", "2001:db8::/32", "10.0.0.0/8"]
    assert (made.expires, made.not_before, made.weight) == (NOW + 30 * 86_400, NOW, 2.5)
    assert to_key("0badcafe", json.loads(json.dumps(to_rules(made)))) == made


def test_a_key_without_rules_is_written_in_two_words() -> None:
    assert to_rules(key()) == {"user": "alice", "services": ["chat"]}


@pytest.mark.parametrize(
    "rules",
    [
        {}, {"user": "a"}, {"user": "a", "services": "chat"}, {"user": 1, "services": []}, {"user": "a", "services": [], "new": 1},
        {"user": "a", "services": [], "expires": "soon"}, {"user": "a", "services": [], "expires": True},
        {"user": "a", "services": [], "disabled": 1}, {"user": "a", "services": [], "networks": ["lan"]},
        {"user": "a", "services": [], "limits": ["many"]}, {"user": "a", "services": [], "hours": "mon 1-2", "tz": "UTC"},
        {"user": "a", "services": [], "hours": "10:00-11:00"},
    ],
)  # fmt: skip
def test_rules_that_are_not_understood_are_refused_and_not_passed_over(rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        to_key("0badcafe", rules)


def test_what_must_rotate_ends() -> None:
    assert draft(**{"rotate-every": "90d"}).expires == NOW + 90 * 86_400
    assert draft(**{"rotate-every": "90d", "expires": "10d"}).expires == NOW + 10 * 86_400


def test_an_empty_value_clears_and_never_clears_a_time() -> None:
    full = redrafted(blank("0badcafe"), FULL, NOW, "UTC")
    empty = {"scope": "", "model": [], "method": [""], "path": "", "allow": "", "limit": "", "hours": "", "expires": "never",
             "not-before": "never", "rotate-every": "never", "weight": "1", "batch": False}  # fmt: skip
    cleared = redrafted(full, empty, NOW, "UTC")
    assert to_rules(cleared) == {"user": "alice", "services": ["chat", "my-tts"]}


def test_another_zone_for_the_same_hours() -> None:
    made = draft(hours="10:00-11:00")
    assert made.hours.zone == "UTC"
    moved = redrafted(made, {"tz": "Europe/Berlin"}, NOW, "UTC")
    assert (moved.hours.text, moved.hours.zone) == ("10:00-11:00", "Europe/Berlin")


@pytest.mark.parametrize(
    "raw",
    [
        {"user": ""}, {"user": " a"}, {"user": "x" * 65}, {"user": "a\u202eb"}, {"service": []}, {"service": "Chat"}, {"service": "a b"},
        {"scope": "root"}, {"method": "G T"}, {"path": "v1"}, {"allow": "1.2.3.4/33"}, {"limit": "1/fortnight"}, {"limit": ["1/minute"] * 2 + ["x"]},
        {"expires": "yesterday"}, {"expires": "3000-01-01"}, {"rotate-every": "1m"}, {"weight": "nan"}, {"weight": "-1"},
        {"hours": "25:00-26:00"}, {"hours": "10:00-11:00", "tz": "Mars"}, {"tz": "UTC"}, {"model": "x" * 201},
        {"not-before": "2d", "expires": "1d"}, {"allow": [f"10.0.0.{n}" for n in range(101)]},
    ],
)  # fmt: skip
def test_a_wrong_rule_names_its_option(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^--"):
        draft(**raw)


@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.text(max_size=20)))
def test_no_text_raises_anything_else(raw: dict[str, str]) -> None:
    try:
        redrafted(blank("0badcafe"), raw, NOW, "UTC")
    except ValueError as error:
        assert str(error)


def test_times_are_read_local_and_shown_with_their_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert (
            moment("2026-07-01T12:00", NOW) == moment("2026-07-01T12:00+02:00", NOW) == moment("2026-07-01T10:00Z", NOW)
        )
        assert stamp(moment("2026-12-31 18:00", NOW)) == "2026-12-31T18:00:00+01:00"
        assert stamp(moment("2026-12-31", NOW)) == "2026-12-31T00:00:00+01:00"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert moment("30d", NOW) == NOW + 30 * 86_400
    assert stamp(None) is None
    assert [span(seconds) for seconds in (0, 61, 3600, 100_000, -5)] == ["0s", "1m 1s", "1h", "1d 3h", "0s"]
    assert set(SCOPES) == {"manage", "admin"}
