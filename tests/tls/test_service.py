"""The certificates of a running gate, by a moved clock."""

from ipaddress import ip_address
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from edge.core.expiry import DAY
from edge.errors import TLSError
from edge.tls.service import CertificateService, certificates
from tests.tls.helpers import Client, common_name, make_identity, make_pair, reused

HOST = (("server", "server.local", "localhost"), (ip_address("127.0.0.1"), ip_address("192.168.1.2")))


class Time:
    """A host, a clock and a calendar that a test moves."""

    def __init__(self, now: float) -> None:
        self.clock = Clock()
        self.began = now
        self.host = HOST

    def now(self) -> float:
        return self.began + self.clock.seconds()

    def service(self, data: Path, **how: object) -> CertificateService:
        return certificates(self.clock, data, now=self.now, host=lambda: self.host, **how)  # type: ignore[arg-type]

    def run(self, service: CertificateService, seconds: float) -> None:
        service.startService()
        self.clock.advance(seconds)
        service.stopService()


@pytest.fixture
def time() -> Time:
    import time

    return Time(time.time())


def shown_to(service: CertificateService, name: bytes | None = None) -> str:
    return common_name(Client().connect(service.contexts.server_connection(None), name))


def serial(service: CertificateService) -> int:
    return service.contexts.shown.default.chain[0].serial_number


def test_a_first_start_makes_the_ca_and_a_leaf_and_later_ones_keep_both(tmp_path: Path, time: Time) -> None:
    first = time.service(tmp_path)
    assert shown_to(first) == "aigate server"
    assert (tmp_path / "tls" / "local.pem").stat().st_mode & 0o777 == 0o600
    second = time.service(tmp_path)
    assert serial(first) == serial(second)
    assert first.authority.fingerprint == second.authority.fingerprint


def test_the_leaf_is_renewed_in_time_by_itself(tmp_path: Path, time: Time) -> None:
    service = time.service(tmp_path)
    first = serial(service)
    time.run(service, 200 * DAY)
    assert serial(service) == first
    time.run(service, 50 * DAY)
    assert serial(service) != first
    assert service.status()[0].not_after > time.now() + 360 * DAY
    assert time.service(tmp_path).contexts.shown.default.chain == service.contexts.shown.default.chain


@pytest.mark.parametrize("behind", [0.25, 3, 400, 20_000])
def test_a_clock_from_before_the_ca_was_made_stops_nothing_and_the_leaf_stays(
    tmp_path: Path, time: Time, behind: float
) -> None:
    first = serial(time.service(tmp_path))
    time.began -= behind * DAY
    service = time.service(tmp_path)
    time.run(service, 301)
    assert (serial(service), service.reloads, service.failures) == (first, 0, 0)
    time.host = (HOST[0], (*HOST[1], ip_address("10.0.0.9")))
    time.run(service, 301)
    assert serial(service) != first
    assert (service.reloads, service.failures) == (1, 0)


def test_a_new_address_is_in_the_leaf_within_a_minute(tmp_path: Path, time: Time) -> None:
    service = time.service(tmp_path)
    first = serial(service)
    time.host = (HOST[0], (*HOST[1], ip_address("10.0.0.9")))
    time.run(service, 61)
    assert serial(service) != first
    second = serial(service)
    time.host = HOST
    time.run(service, 61)
    assert serial(service) == second


def test_a_damaged_leaf_is_no_loss(tmp_path: Path, time: Time) -> None:
    time.service(tmp_path)
    (tmp_path / "tls" / "local.pem").write_text("torn")
    assert shown_to(time.service(tmp_path)) == "aigate server"


def test_what_the_ca_may_not_sign_is_left_out_and_said_once(tmp_path: Path, time: Time) -> None:
    time.service(tmp_path)
    time.host = (HOST[0], (*HOST[1], ip_address("198.51.100.7")))
    with capturedLogs() as captured:
        service = time.service(tmp_path, names=["late.example.org"])
        time.run(service, 600)
    lines = [formatEvent(event) for event in captured]
    assert sum("late.example.org" in line for line in lines) == 1
    assert sum("198.51.100.7" in line for line in lines) == 1
    assert "late.example.org" not in service.contexts.shown.default.names


def test_configured_names_and_addresses_are_in_the_local_leaf(tmp_path: Path, time: Time) -> None:
    service = time.service(tmp_path, names=["Gate.Example.org", "müller.lan", "203.0.113.4"])
    assert {"gate.example.org", "xn--mller-kva.lan"} <= set(service.contexts.shown.default.names)
    assert service.authority.may_sign(ip_address("203.0.113.4"))


@pytest.mark.parametrize("name", ["bad name", "", "a..b", "x" * 300])
def test_a_name_that_no_certificate_carries_stops_the_start(tmp_path: Path, time: Time, name: str) -> None:
    with pytest.raises(TLSError, match="host name"):
        time.service(tmp_path, names=[name])


def test_ticket_keys_last_a_day(tmp_path: Path, time: Time) -> None:
    service, client = time.service(tmp_path), Client()
    session = client.connect(service.contexts.server_connection(None)).get_session()
    service.startService()
    time.clock.advance(DAY - 1)
    assert reused(client.connect(service.contexts.server_connection(None), None, session))
    time.clock.advance(2)
    assert not reused(client.connect(service.contexts.server_connection(None), None, session))
    service.stopService()
    assert time.clock.getDelayedCalls() == []


def files(folder: Path, name: str, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.pem").write_bytes(b"".join(make_pair(*names)))
    (folder / f"{name}.pem").chmod(0o600)


def test_files_serve_their_names_and_the_local_ca_the_rest(tmp_path: Path, time: Time) -> None:
    files(tmp_path / "certs", "one", "one.example.org", "*.one.example.org")
    service = time.service(tmp_path, certificate="files", certs_dir=tmp_path / "certs")
    assert shown_to(service, b"one.example.org") == "one.example.org"
    assert shown_to(service, b"x.one.example.org") == "one.example.org"
    assert shown_to(service, b"server.local") == "aigate server"
    assert shown_to(service) == "aigate server"
    assert [each.name for each in service.status()] == ["local", "one"]


def test_configured_names_narrow_what_files_serve_and_a_name_without_one_is_said(tmp_path: Path, time: Time) -> None:
    files(tmp_path / "certs", "one", "one.example.org", "*.one.example.org")
    with capturedLogs() as captured:
        service = time.service(
            tmp_path, certificate="files", certs_dir=tmp_path / "certs", names=["x.one.example.org", "two.example.org"]
        )
        service.startService()
        assert shown_to(service, b"x.one.example.org") == "one.example.org"
        assert shown_to(service, b"one.example.org") == "aigate server"
        files(tmp_path / "certs", "two", "two.example.org")
        time.clock.advance(6)
        assert shown_to(service, b"two.example.org") == "two.example.org"
        service.stopService()
    lines = [formatEvent(event) for event in captured]
    assert sum("two.example.org: no file" in line for line in lines) == 1
    assert not any(line.startswith("x.one") for line in lines)


def test_a_changed_file_counts_and_a_broken_one_does_not(tmp_path: Path, time: Time) -> None:
    files(tmp_path / "certs", "one", "one.example.org")
    service = time.service(tmp_path, certificate="files", certs_dir=tmp_path / "certs")
    service.startService()
    files(tmp_path / "certs", "one", "new.example.org", "one.example.org")
    time.clock.advance(6)
    assert shown_to(service, b"one.example.org") == "new.example.org"
    assert (service.reloads, service.failures) == (1, 0)
    (tmp_path / "certs" / "one.pem").write_text("half a fi")
    time.clock.advance(6)
    assert shown_to(service, b"one.example.org") == "new.example.org"
    time.clock.advance(60)
    assert (service.reloads, service.failures) == (1, 1)
    service.stopService()


def test_a_renewal_that_begins_later_is_shown_from_then_on_and_not_before(tmp_path: Path, time: Time) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    for name, start in (("now", time.began - DAY), ("next", time.began + 20 * DAY)):
        (certs / f"{name}.pem").write_bytes(b"".join(make_pair("one.example.org", start=start, days=30)))
    service = time.service(tmp_path, certificate="files", certs_dir=certs)
    assert [each.name for each in service.status()] == ["local", "now"]
    time.run(service, 10 * DAY)
    assert (service.reloads, [each.name for each in service.status()]) == (0, ["local", "now"])
    time.run(service, 10 * DAY)
    assert (service.reloads, [each.name for each in service.status()]) == (1, ["local", "next"])


def test_a_disk_that_fails_leaves_the_leaf_in_use_and_is_said(tmp_path: Path, time: Time) -> None:
    service = time.service(tmp_path)
    first = serial(service)
    (tmp_path / "tls" / "local.pem").unlink()
    (tmp_path / "tls").rmdir()
    (tmp_path / "tls").write_text("no folder")
    with capturedLogs() as captured:
        time.run(service, 61)
    assert serial(service) == first and service.failures >= 1
    assert any("stays" in formatEvent(event) for event in captured)


def test_a_certificate_from_a_file_that_ends_soon_is_said_daily(tmp_path: Path, time: Time) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "one.pem").write_bytes(b"".join(make_pair("one.example.org", days=3)))
    service = time.service(tmp_path, certificate="files", certs_dir=tmp_path / "certs")
    with capturedLogs() as captured:
        service.startService()
        for _ in range(5):
            time.clock.advance(DAY)
        service.stopService()
    lines = [formatEvent(event) for event in captured]
    assert sum("this certificate ends" in line for line in lines) == 2
    assert sum("this certificate ENDED" in line for line in lines) == 3


def test_identities_never_show_their_key() -> None:
    assert "PrivateKey" not in repr(make_identity("one"))
