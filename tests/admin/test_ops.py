from types import SimpleNamespace

import pytest
from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from edge.admin.ops import FOREIGN, WRONG_HOST, Page, is_loopback_name, metrics_page, ops_router, report_page
from edge.core.headers import fields
from edge.core.refusal import Refusal
from edge.web.guard import Guard
from edge.web.own import OwnPage

HERE = IPv4Address("TCP", "127.0.0.1", 8444)
THERE = IPv4Address("TCP", "192.168.1.2", 8444)
PAGES = {
    b"/health": Page(lambda request: None, anyone=True),
    b"/metrics": Page(lambda request: None, here=True),
    b"/status": Page(lambda request: None),
}


def asked(path=b"/health", host="localhost", bound=HERE, verb="GET", origin=None, peer=HERE):
    return SimpleNamespace(
        path=path,
        host=host,
        authority=host.encode() + b":8444",
        verb=verb,
        fields=fields([("Origin", origin)] if origin else []),
        channel=SimpleNamespace(origin=SimpleNamespace(host=bound, address=peer, secure=False)),
    )


@pytest.fixture
def router():
    return ops_router(SimpleNamespace(), PAGES)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1", "", "localhost."])
def test_loopbacks_own_names_are_answered_on_loopback(router, host):
    assert isinstance(router.find(asked(host=host)), OwnPage)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0",
        "192.168.1.2",
        "127.1.evil",
        "gate.lan",
    ],
)
@pytest.mark.parametrize("path", [b"/health", b"/metrics", b"/status", b"/nothing"])
def test_every_other_name_is_turned_away_on_loopback(router, host, path):
    found = router.find(asked(path, host))
    assert found is WRONG_HOST and found.status == 421


@pytest.mark.parametrize("bound", [IPv6Address("TCP", "::1", 1), UNIXAddress("/run/ops.sock")])
def test_the_other_loopbacks_hold_the_same_rule(router, bound):
    assert router.find(asked(host="evil.example", bound=bound)) is WRONG_HOST
    assert isinstance(router.find(asked(b"/metrics", bound=bound)), OwnPage)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost:8444", "http://localhost", "http://localhost:1"]
)
@pytest.mark.parametrize("path", [b"/health", b"/metrics", b"/status"])
def test_pages_of_another_origin_are_refused(router, origin, path):
    assert router.find(asked(path, origin=origin)) is FOREIGN
    assert FOREIGN.status == 403


def test_its_own_pages_are_not_foreign(router):
    assert isinstance(router.find(asked(origin="http://localhost:8444")), OwnPage)


def test_on_loopback_health_and_metrics_need_no_key_and_all_else_the_scope(router):
    assert isinstance(router.find(asked(b"/health")), OwnPage)
    assert isinstance(router.find(asked(b"/metrics")), OwnPage)
    status = router.find(asked(b"/status"))
    assert isinstance(status, Guard) and status.rule.scope == "admin"


def test_on_any_other_address_everything_but_health_needs_the_scope(router):
    there = {"bound": THERE, "host": "gate.lan"}
    assert isinstance(router.find(asked(b"/health", **there)), OwnPage)
    for path in (b"/metrics", b"/status"):
        found = router.find(asked(path, **there))
        assert isinstance(found, Guard) and found.rule.scope == "admin"


def test_whom_a_proxy_on_this_machine_announces_is_not_on_this_machine(router):
    announced = {"peer": IPv4Address("TCP", "203.0.113.9", 4711)}
    found = router.find(asked(b"/metrics", **announced))
    assert isinstance(found, Guard) and found.rule.scope == "admin"


def test_what_is_not_there_is_404_and_only_reading_is_allowed(router):
    missing, posted = router.find(asked(b"/admin")), router.find(asked(b"/metrics", verb="POST"))
    assert isinstance(missing, Refusal) and missing.reason == "no-route"
    assert isinstance(posted, Refusal) and posted.reason == "method-not-allowed"
    assert evolve(PAGES[b"/health"], anyone=False) != PAGES[b"/health"]


def test_a_part_of_the_report_that_fails_hides_no_other():
    sent = {}

    def broken():
        raise OSError("a secret path")

    request = SimpleNamespace(
        exchange=SimpleNamespace(arrival=SimpleNamespace(id="d41e0000")),
        origin_allowed=None,
        extra=b"",
        standing=b"",
        reply=lambda status, pairs, body: sent.update(status=status, body=body),
    )
    report_page({"disk": broken, "version": lambda: "1"})(request)
    assert sent["status"] == 200 and sent["body"] == b'{"disk":{"problem":"OSError"},"version":"1"}\n'
    metrics_page(lambda: b"a 1\n", b"text/plain")(request)
    assert sent["body"] == b"a 1\n"


def test_names_are_judged_as_names():
    assert (
        is_loopback_name("127.0.0.2")
        and not is_loopback_name("127.0.0.2.nip.io")
        and not is_loopback_name("localhost:1")
    )
