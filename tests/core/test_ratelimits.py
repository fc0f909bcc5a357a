import math

import pytest

from edge.core.batch import lines
from edge.core.levels import Level, Standing, Verdict
from edge.core.quantities import limit
from edge.core.ratelimits import pairs, refusal, span, standing

MINUTE = Level("key:a:requests/minute", limit("60/minute"), "key")
GATE = Level("gate::requests/minute", limit("600/minute"), "gate")
TOKENS = Level("user:b:tokens/day", limit("1000 tokens/day"), "user")
SHADOW = Level("key:a:requests/minute?", limit("1/minute"), "key", shadow=True)
US = 1_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0ms"),
        (0.02, b"20ms"),
        (0.0201, b"21ms"),
        (1, b"1s"),
        (1.5, b"1.5s"),
        (360, b"6m0s"),
        (7325.25, b"2h2m5.25s"),
    ],
)
def test_spans_are_spelled_as_openai_does(seconds, text):
    assert span(seconds) == text


def test_openai_clients_read_the_tightest_level_of_each_unit():
    told = dict(
        pairs([Standing(GATE, 500, 10, 0), Standing(MINUTE, 7, 53, 0), Standing(TOKENS, 900.5, 60, 0)], "openai", 0)
    )
    assert told == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"7",
        b"x-ratelimit-reset-requests": b"53s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"900",
        b"x-ratelimit-reset-tokens": b"1m0s",
    }


def test_anthropic_clients_read_theirs():
    assert dict(pairs([Standing(MINUTE, 7, 53, 0)], "anthropic", 0)) == {
        b"anthropic-ratelimit-requests-limit": b"60",
        b"anthropic-ratelimit-requests-remaining": b"7",
        b"anthropic-ratelimit-requests-reset": b"1970-01-01T00:00:53Z",
    }


def test_a_shadow_is_not_told():
    assert pairs([Standing(SHADOW, 0, 53, 3)], "openai", 0) == []


@pytest.mark.parametrize("used", [0, 1, 59 * 60 * US, 60 * 60 * US, 1_234_567_891])
@pytest.mark.parametrize("rows", [(MINUTE,), (MINUTE, GATE), (TOKENS,), (SHADOW,)])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_lines_say_what_the_fields_say(used, rows, dialect):
    verdict = Verdict(True, [(level, used, 0.0, 0, 7.5) for level in rows], (1,) * len(rows))
    assert standing(verdict, dialect, 0) == lines(pairs(verdict.standings, dialect, 0))


def test_a_spent_rate_says_when_to_come_back():
    told = refusal(Verdict(False, [(MINUTE, 60 * 60 * US, 0.9995, 0, 0.0), (GATE, 0, 0.0, 0, 0.0)], None), "openai", 0)
    assert (told.reason, told.status, told.retry, told.retry_after) == ("rate-limited", 429, True, 0.9995)
    assert (b"retry-after-ms", b"1000") in told.extra
    assert (b"x-ratelimit-remaining-requests", b"0") in told.extra


def test_a_spent_budget_tells_sdks_not_to_try_again():
    told = refusal(Verdict(False, [(TOKENS, 1000, 3600.0, 1, 3600.0)], None), "openai", 0)
    assert (told.reason, told.status, told.retry, told.retry_after) == ("budget-spent", 429, False, 3600.0)
    assert "1000 tokens a day" in told.message


def test_a_request_larger_than_the_whole_limit_is_told_so():
    told = refusal(Verdict(False, [(TOKENS, 0, math.inf, 1, 3600.0)], None), "openai", 0)
    assert "smaller max_tokens" in told.message
    assert not told.retry
    assert told.retry_after == 3600.0


def test_the_longest_wait_decides_and_a_shadow_never_does():
    rows = [(SHADOW, US * 60, 50.0, 0, 0.0), (MINUTE, 60 * 60 * US, 1.0, 0, 0.0), (GATE, 600 * 60 * US, 4.0, 0, 0.0)]
    assert refusal(Verdict(False, rows, None), "openai", 0).retry_after == 4.0
