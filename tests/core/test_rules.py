"""What a key may do, in the promised order, at every edge."""

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.hours import hours
from edge.core.networks import network
from edge.core.refusal import Refusal
from edge.core.rules import ANYTHING, ended, judge, steps
from edge.core.service import ANY_METHOD, MANAGED, Rule
from edge.testing import exchange, key

NOW = 1_000_000.0
BERLIN = ZoneInfo("Europe/Berlin")


def reason(
    now: float = NOW, rule: Rule = ANYTHING, service: str = "chat", request: dict[str, Any] | None = None, **rules: Any
) -> str:
    refusal = judge(key(**rules), exchange(service, **(request or {})), rule, now)
    return refusal.reason if refusal else ""


def test_the_order_is_the_promised_one() -> None:
    broken: dict[str, Any] = {
        "disabled": True,
        "expires": NOW - 1,
        "not_before": NOW + 1,
        "networks": (network("10.0.0.0/8"),),
        "services": ("tts",),
        "scopes": frozenset(),
        "methods": frozenset({"PUT"}),
        "paths": ("/nothing",),
        "hours": hours("00:00-00:01", "UTC"),
    }
    mended: dict[str, Any] = {
        "disabled": False,
        "expires": None,
        "not_before": None,
        "networks": (),
        "services": ("chat",),
        "scopes": frozenset({"manage"}),
        "methods": frozenset(),
        "paths": (),
        "hours": None,
    }
    seen = []
    for name in broken:
        seen.append(reason(rule=MANAGED, **broken))
        broken[name] = mended[name]
    assert seen == [
        "disabled-key", "expired-key", "not-yet-valid", "address-not-allowed", "service-not-allowed", "needs-scope",
        "path-not-allowed", "path-not-allowed", "outside-hours",
    ]  # fmt: skip
    assert reason(rule=MANAGED, **broken) == ""
    named = [name for name, _, _ in steps(key(), exchange(), ANYTHING, NOW)]
    assert named == ["state", "expiry", "start", "address", "service", "scope", "method", "path", "hours"]


@given(st.floats(0, 4e9), st.none() | st.floats(0, 4e9), st.none() | st.floats(0, 4e9))
def test_a_key_lives_from_its_first_moment_to_before_its_last(
    now: float, first: float | None, last: float | None
) -> None:
    said = reason(now, not_before=first, expires=last)
    assert (said == "expired-key") == (last is not None and now >= last)
    assert (said == "not-yet-valid") == (not (last is not None and now >= last) and first is not None and now < first)
    assert ended(key(expires=last), now) == (last is not None and now >= last)


def test_the_edge_of_a_second_and_a_clock_that_goes_back() -> None:
    assert [reason(when, expires=NOW) for when in (NOW - 0.001, NOW, NOW - 0.001)] == ["", "expired-key", ""]
    assert [reason(when, not_before=NOW) for when in (NOW - 0.001, NOW, NOW - 5)] == [
        "not-yet-valid",
        "",
        "not-yet-valid",
    ]


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_ipv4_networks_take_their_own_and_mapped_ones(base: IPv4Address, length: int, client: IPv4Address) -> None:
    net = IPv4Network((base, length), strict=False)
    for spelt in (str(client), f"::ffff:{client}"):
        assert (reason(networks=(net,), request={"client": spelt}) == "") == (client in net)


@given(st.ip_addresses(v=6), st.integers(0, 128), st.ip_addresses(v=6))
def test_ipv6_networks_take_their_own(base: IPv6Address, length: int, client: IPv6Address) -> None:
    net = IPv6Network((base, length), strict=False)
    mapped = client.ipv4_mapped is not None
    assert (reason(networks=(net,), request={"client": str(client)}) == "") == (client in net and not mapped)


@pytest.mark.parametrize("client", ["unix", "", "nonsense", "fe80::1%eth0x"])
def test_what_is_no_address_lies_in_no_network(client: str) -> None:
    assert reason(networks=(network("0.0.0.0/0"),), request={"client": client}) == "address-not-allowed"


def test_a_key_for_all_services_has_those_added_later() -> None:
    assert reason(service="new", services=("*",)) == ""
    assert reason(service="new", services=("chat",)) == "service-not-allowed"
    assert reason(service="", services=()) == ""


def test_scopes_do_not_imply_each_other_and_never_means_nobody() -> None:
    for scope, held, said in (
        ("manage", {"manage"}, ""),
        ("manage", {"admin"}, "needs-scope"),
        ("admin", {"manage"}, "needs-scope"),
        ("never", {"manage", "admin", "never"}, "path-not-allowed"),
    ):
        assert reason(rule=Rule(ANY_METHOD, "*", scope=scope), scopes=frozenset(held)) == said


def test_head_goes_where_get_goes_and_nothing_else_does() -> None:
    allowed = frozenset({"GET"})
    assert [reason(methods=allowed, request={"method": method}) for method in ("GET", "HEAD", "POST", "get")] == [
        "", "", "path-not-allowed", "path-not-allowed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/chat/api/v1/models", "/chat/api/v1/a/b", "/chat/api/v%31/models", "/chat/api/v1/m%20x"]
)
def test_paths_below_a_pattern_pass(path: str) -> None:
    assert reason(paths=("/v1/*",), request={"path": path.encode()}) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/chat/api/api/pull", "/chat/api", "/chat/api/v1", "/chat/api/v1/../api/pull", "/chat/api/v1/%2e%2e/api/pull",
        "/chat/api/v1/..%2fapi", "/chat/api/v1/..;/api", "/chat/api/v1\\..\\api", "/chat/api/x/../v1/y", "/chat/api/v1/%00",
        "/chat/api/V1/models", "/chat/api//v1/../api", "/chat/api/v1/%252e%252e/x",
    ],
)  # fmt: skip
def test_and_no_spelling_leads_around_it(path: str) -> None:
    assert reason(paths=("/v1/*",), request={"path": path.encode()}) == "path-not-allowed"


def test_a_path_with_two_readings_must_be_allowed_in_both() -> None:
    assert reason(paths=("/v1/a;*",), request={"path": b"/chat/api/v1/a;x/pull"}) == "path-not-allowed"


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ((2026, 11, 23, 14, 59, 59), "outside-hours"),
        ((2026, 11, 23, 15, 0, 0), ""),
        ((2026, 11, 23, 19, 59, 59), ""),
        ((2026, 11, 23, 20, 0, 0), "outside-hours"),
        ((2026, 11, 22, 16, 0, 0), "outside-hours"),
        ((2026, 7, 20, 15, 0, 0), ""),
        ((2026, 7, 20, 14, 59, 59), "outside-hours"),
    ],
)
def test_hours_are_those_of_the_clock_on_the_wall(local: tuple[int, ...], said: str) -> None:
    when = datetime(*local, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type,misc]
    assert reason(when, hours=hours("mon-fri 15:00-20:00", "Europe/Berlin")) == said


def test_hours_when_the_clock_is_put_forward_and_back() -> None:
    night = hours("sun 02:00-03:00", "Europe/Berlin")
    spring = datetime(2026, 3, 29, 1, 59, 59, tzinfo=BERLIN).timestamp()
    # That hour does not exist on this night: one second later it is three.
    assert [reason(spring + after, hours=night) for after in (0, 1, 3601)] == ["outside-hours"] * 3
    autumn = datetime(2026, 10, 25, 2, 0, 0, tzinfo=BERLIN).timestamp()
    # And in autumn it comes twice.
    assert [reason(autumn + after, hours=night) for after in (-1, 0, 3600, 7199, 7200)] == [
        "outside-hours",
        "",
        "",
        "",
        "outside-hours",
    ]


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_pattern_and_no_path_raise(pattern: str, path: str) -> None:
    judged = judge(key(paths=(pattern,)), exchange(path=b"/chat/api/" + path.encode("utf-8", "replace")), ANYTHING, NOW)
    assert judged is None or isinstance(judged, Refusal)
