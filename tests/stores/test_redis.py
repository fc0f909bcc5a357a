"""What happens when the Redis that counts is stopped, paused, flooded, locked or behind TLS."""

import datetime
import ipaddress
import socket
import time
from zoneinfo import ZoneInfo

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import defer, reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, globalLogPublisher

from edge.core.levels import Level
from edge.core.quantities import limit
from edge.errors import StoreError
from edge.stores.counters_redis import LATER, RedisCounters
from edge.stores.redis_link import PENDING, RedisLink, UnansweredError, Where, endpoint, where

NOON = 1_795_345_200.0
UTC = ZoneInfo("UTC")


def level(text, name="key:a"):
    made = limit(text)
    return Level(f"{name}:{made.unit}/{made.period}", made, "key")


@pytest.fixture
def connect():
    links = []

    def link(at, **more):
        target = at if hasattr(at, "connect") else UNIXClientEndpoint(reactor, at.path)
        links.append(RedisLink("test", target, reactor, **{"timeout": 0.25, **more}))
        links[-1].start()
        return links[-1]

    yield link
    for one in links:
        pytest_twisted.blockon(one.stop())


@pytest.fixture
def logged():
    lines = []

    def observe(event):
        if event.get("log_namespace") == "aigate.redis":
            lines.append(event["log_format"].format(**event))
        elif event.get("log_level") is LogLevel.critical:
            lines.append("a traceback")

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


class Away:
    """A link whose answers do not come."""

    def __init__(self, run):
        self.run = run


@pytest.fixture
def until_up():
    async def wait(link):
        deadline = time.monotonic() + 10
        while not link.status()["up"]:
            assert time.monotonic() < deadline
            await deferLater(reactor, 0.02)

    return wait


def run(coroutine):
    return defer.Deferred.fromCoroutine(coroutine)


async def until_passed(counters, levels, seconds=10.0):
    """Ask until the counters answer again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            verdict = await counters.take(levels, [1] * len(levels), NOON)
            if all(row[3] >= 0 for row in verdict.rows):
                return verdict
        except StoreError:
            pass
        assert time.monotonic() < deadline
        await deferLater(reactor, 0.05)


@pytest_twisted.ensureDeferred
async def test_closed_nobody_passes_while_the_server_is_gone_and_it_heals_by_itself(redis, connect, logged):
    server = redis()
    link = connect(server)
    counters = RedisCounters(link, UTC)
    levels = [level("1000/minute")]
    assert (await counters.take(levels, [1], NOON)).passed
    assert link.status() == {"server": "test", "up": True, "pending": 0}
    server.stop()
    for _ in range(20):
        with pytest.raises(StoreError):
            await counters.take(levels, [1], NOON)
    assert link.status()["up"] is False
    assert [line for line in logged if "cannot be reached" in line and "nobody passes" in line] == logged and len(
        logged
    ) == 1
    server.start()
    assert (await until_passed(counters, levels)).passed
    assert logged[1:] == ["Redis at test is back"] and link.status()["up"] is True


@pytest_twisted.ensureDeferred
async def test_local_it_counts_on_alone_and_settles_there(redis, connect, logged):
    server = redis()
    counters = RedisCounters(connect(server), UTC, failure="local")
    levels = [level("5/minute"), level("100 tokens/day")]
    shared = await counters.take(levels, [1, 50], NOON)
    server.stop()
    told = [await counters.take(levels, [1, 10], NOON) for _ in range(8)]
    assert sum(one.passed for one in told) == 5
    assert len(logged) == 1 and "counting alone" in logged[0]
    await counters.settle(levels, [0, -5], [one.window for one in told[0].standings], NOON)
    assert (await counters.look(levels, NOON)).standings[1].remaining == 55
    await counters.settle(levels, [0, -20], [one.window for one in shared.standings], NOON)
    told = [keys[0].split(":")[2] for keys, _ in counters.later]
    assert told == ["taken", "settled"], "what was on its way when the server went, and what it has to be told"


@pytest_twisted.ensureDeferred
async def test_a_server_that_stands_still_is_not_waited_for_twice(redis, connect):
    server = redis()
    counters = RedisCounters(connect(server), UTC)
    levels = [level("1000/minute")]
    await counters.take(levels, [1], NOON)
    server.pause()
    started = time.monotonic()
    with pytest.raises(StoreError):
        await counters.take(levels, [1], NOON)
    assert 0.2 < time.monotonic() - started < 2
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(StoreError):
            await counters.take(levels, [1], NOON)
    assert time.monotonic() - started < 1
    await deferLater(reactor, 1)
    with pytest.raises(StoreError):
        await counters.take(levels, [1], NOON)
    server.go_on()
    assert (await until_passed(counters, levels)).passed


@pytest_twisted.ensureDeferred
async def test_what_could_not_be_settled_is_settled_later_and_once(redis, connect):
    server = redis()
    counters = RedisCounters(connect(server), UTC)
    levels = [level("1000 tokens/day")]
    windows = [one.window for one in (await counters.take(levels, [800], NOON)).standings]
    server.pause()
    await counters.settle(levels, [-700], windows, NOON)
    await counters.settle(levels, [-50], windows, NOON)
    assert len(counters.later) == 2
    server.go_on()
    await until_passed(counters, [level("9/minute")])
    assert not counters.later
    assert (await counters.look(levels, NOON)).standings[0].remaining == 950
    assert counters.later.maxlen == LATER


@pytest_twisted.ensureDeferred
async def test_what_a_slow_server_charged_after_nobody_waited_any_more_is_given_back(redis, connect, until_up):
    server = redis()
    counters = RedisCounters(link := connect(server, timeout=1.0), UTC)
    levels = [level("100/minute"), level("1000 tokens/day"), level("2000 tokens/day", "user:b")]
    levels[2] = Level(levels[2].name, levels[2].limit, "user", shadow=True)
    assert (await counters.take(levels, [1, 100, 100], NOON)).passed
    for _ in range(3):
        server.pause()
        with pytest.raises(StoreError):
            await counters.take(levels, [1, 300, 1950], NOON)
        server.go_on()
        await until_up(link)
    while counters.later:
        await deferLater(reactor, 0.02)
    assert [one.remaining for one in (await counters.look(levels, NOON)).standings] == [99, 900, 1900]
    assert (await counters.take(levels, [1, 900, 0], NOON)).passed


@pytest_twisted.ensureDeferred
async def test_a_charge_that_comes_after_its_refund_is_not_made_and_a_refund_is_made_once(redis, connect):
    link = connect(redis(), timeout=5.0)
    counters = RedisCounters(link, UTC)
    levels, sent = [level("1000 tokens/day"), level("1000 tokens/minute")], []
    await counters.look(levels, NOON)

    async def unanswered(script, keys, args):
        sent.append((script, keys, args))
        raise UnansweredError("late")

    counters.link = Away(unanswered)
    for _ in range(2):
        with pytest.raises(StoreError):
            await counters.take(levels, [400, 400], NOON)
    counters.link = link
    await link.run(*sent[0])
    assert (await counters.look(levels, NOON)).standings[0].remaining == 600
    refunds = list(counters.later)
    await counters._replay()
    for keys, args in refunds:
        await link.run(counters._settle, keys, args)
    await link.run(*sent[1])
    assert [one.remaining for one in (await counters.look(levels, NOON)).standings] == [1000, 1000]


@pytest_twisted.ensureDeferred
async def test_what_a_bucket_drained_meanwhile_is_not_given_back_again(redis, connect):
    link = connect(redis(), timeout=5.0)
    counters = RedisCounters(link, UTC)
    levels = [level("10/minute")]

    async def unanswered(script, keys, args):
        await link.run(script, keys, args)
        raise UnansweredError("late")

    counters.link = Away(unanswered)
    with pytest.raises(StoreError):
        await counters.take(levels, [8], NOON)
    counters.link = link
    assert (await counters.take(levels, [9], NOON + 60)).passed and not counters.later
    assert (await counters.look(levels, NOON + 60)).standings[0].remaining == 1


@pytest_twisted.ensureDeferred
async def test_marks_of_what_was_answered_do_not_pile_up(redis, connect):
    link = connect(redis(), timeout=5.0)
    counters = RedisCounters(link, UTC)
    levels = [level("1000/minute"), level("1000 tokens/day")]
    await defer.gatherResults([run(counters.take(levels, [1, 1], NOON)) for _ in range(100)])
    for _ in range(30):
        windows = [one.window for one in (await counters.take(levels, [1, 1], NOON)).standings]
        await counters.settle(levels, [0, -1], windows, NOON)
    assert len(await link._protocol.execute_command("KEYS", "*")) == 3


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("apart", [0.5, 1.1, 5.0, 86_000.0])
async def test_gates_whose_clocks_are_apart_pass_no_more_than_one_would(redis, connect, apart):
    server = redis()
    ahead, behind = (RedisCounters(connect(server, timeout=5.0), UTC) for _ in range(2))
    levels, passed, started = [level("10/second")], 0, time.monotonic()
    while (spent := time.monotonic() - started) < 2:
        passed += (await ahead.take(levels, [1], NOON + apart + spent)).passed
        passed += (await behind.take(levels, [1], NOON + spent)).passed
    # A bucket of ten, twenty in two seconds, and ten once for the clock that seems to go forward.
    assert 20 <= passed <= 41
    alone, started = 0, time.monotonic()
    while (spent := time.monotonic() - started) < 1:
        alone += (await behind.take(levels, [1], NOON + 2 + spent)).passed
    assert apart < 1 or 8 <= alone <= 12, "the gate that is behind goes on at the same pace alone"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("how", [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")])
async def test_a_server_that_takes_no_writes_is_away_and_the_log_says_so_once(redis, connect, logged, how):
    link = connect(redis())
    counters = RedisCounters(link, UTC)
    await counters.take([level("100/minute")], [1], NOON)
    await link._protocol.execute_command(*how)
    started = time.monotonic()
    while time.monotonic() - started < 2:
        with pytest.raises(StoreError):
            await counters.take([level("100/minute")], [1], NOON)
        await deferLater(reactor, 0.02)
    assert len(logged) == 1 and "nobody passes" in logged[0]


@pytest_twisted.ensureDeferred
async def test_a_flood_is_counted_exactly_and_what_is_too_much_is_refused_at_once(redis, connect):
    counters = RedisCounters(connect(redis(), timeout=20.0), UTC)
    levels = [level("100/minute")]
    asked = [run(counters.take(levels, [1], NOON)) for _ in range(PENDING + 500)]
    told = await defer.DeferredList(asked, consumeErrors=True)
    assert sum(ok and verdict.passed for ok, verdict in told) == 100
    assert sum(not ok for ok, _ in told) == 500
    assert (await counters.look(levels, NOON)).standings[0].remaining == 0


@pytest_twisted.ensureDeferred
async def test_two_gates_share_one_count_and_one_hardware(redis, connect):
    server = redis()
    one, two = (RedisCounters(connect(server), UTC, lease=0.3) for _ in range(2))
    levels, bounds = [level("10/minute")], [("image", 1), ("key:a", 2)]
    told = await defer.gatherResults([run(gate.take(levels, [1], NOON)) for gate in (one, two) for _ in range(10)])
    assert sum(verdict.passed for verdict in told) == 10
    assert await one.lease("one:1", bounds) and await one.lease("one:1", bounds)
    assert not await two.lease("two:1", bounds)
    await one.free("one:1", bounds)
    await one.free("one:1", bounds)
    assert await two.lease("two:1", bounds)
    # The second gate dies without a word: its lease ends by itself.
    await deferLater(reactor, 0.4)
    assert await one.lease("one:2", bounds)


@pytest_twisted.ensureDeferred
async def test_a_server_that_forgot_its_scripts_is_told_them_again(redis, connect):
    link = connect(redis())
    counters = RedisCounters(link, UTC)
    await counters.take([level("9/minute")], [1], NOON)
    await link._protocol.execute_command("SCRIPT", "FLUSH")
    assert (await counters.take([level("9/minute")], [1], NOON)).passed


@pytest_twisted.ensureDeferred
async def test_nothing_is_kept_for_ever(redis, connect):
    link = connect(redis())
    counters = RedisCounters(link, UTC)
    levels = [level("9/minute"), level("9 tokens/day")]
    windows = [one.window for one in (await counters.take(levels, [1, 1], NOON)).standings]
    await counters.settle(levels, [0, 1], windows, NOON)
    await counters.lease("one", [("image", 1)])
    keys = await link._protocol.execute_command("KEYS", "*")
    assert len(keys) == 4 and all(key.startswith("aigate:") for key in keys)
    for key in keys:
        assert await link._protocol.execute_command("PTTL", key) > 0


@pytest_twisted.ensureDeferred
async def test_a_password_is_asked_for_and_never_logged(redis, connect, logged):
    server = redis("--requirepass", "open-sesame")
    counters = RedisCounters(connect(server, password="open-sesame"), UTC)
    assert (await counters.take([level("9/minute")], [1], NOON)).passed
    wrong = RedisCounters(connect(server, password="hunter2"), UTC)
    with pytest.raises(StoreError) as raised:
        await wrong.take([level("9/minute")], [1], NOON)
    assert logged and "hunter2" not in "".join(logged) + repr(raised.value) + repr(raised.value.__cause__)


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))


def tls_server(redis, tmp_path):
    certificate(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = ["--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem")]
    redis("--tls-port", str(port), *files, "--tls-auth-clients", "no")
    return where(f"rediss://127.0.0.1:{port}/1")


@pytest_twisted.ensureDeferred
async def test_tls_is_spoken_with_a_server_whose_authority_is_trusted(redis, connect, tmp_path):
    at = tls_server(redis, tmp_path)
    trusted = connect(endpoint(reactor, at, tmp_path / "cert.pem", 2.0), db=at.db, timeout=2.0)
    assert (await RedisCounters(trusted, UTC).take([level("9/minute")], [1], NOON)).passed


@pytest_twisted.ensureDeferred
async def test_tls_with_a_server_that_nobody_vouches_for_counts_as_gone(redis, connect, tmp_path):
    at = tls_server(redis, tmp_path)
    stranger = connect(endpoint(reactor, at, None, 2.0), timeout=2.0)
    with pytest.raises(StoreError):
        await RedisCounters(stranger, UTC).take([level("9/minute")], [1], NOON)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1", Where()),
        ("redis://cache:7000/3", Where("cache", 7000, 3)),
        ("rediss://cache", Where("cache", tls=True)),
        ("unix:///run/redis.sock?db=2", Where(path="/run/redis.sock", db=2)),
    ],
)
def test_addresses_are_read(url, expected):
    assert where(url) == expected


def test_a_ca_file_without_a_certificate_is_told(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ValueError, match=r"ca\.pem: no certificate in PEM form"):
        RedisLink.to(reactor, "rediss://127.0.0.1/0", ca_file=file)


@pytest.mark.parametrize("url", ["http://x", "redis://x:port/0", "redis://x/one"])
def test_a_wrong_address_says_what_would_be_right(url):
    with pytest.raises(ValueError, match="rediss://"):
        where(url)


def test_a_password_in_the_address_is_refused_without_repeating_it():
    with pytest.raises(ValueError, match="password_file") as raised:
        where("redis://:hunter2@127.0.0.1/0")
    assert "hunter2" not in str(raised.value)


@pytest_twisted.ensureDeferred
async def test_a_link_is_made_as_configured(redis, tmp_path):
    server = redis("--requirepass", "open-sesame")
    (tmp_path / "secret").write_text("open-sesame\n")
    link = RedisLink.to(reactor, f"unix://{server.path}?db=1", password_file=tmp_path / "secret", timeout=2.0)
    link.start()
    assert (await RedisCounters(link, UTC).take([level("9/minute")], [1], NOON)).passed
    await link.stop()
    with pytest.raises(StoreError):
        await RedisCounters(link, UTC).take([level("9/minute")], [1], NOON)


def test_a_password_that_cannot_be_read_stops_the_start(tmp_path):
    with pytest.raises(StoreError, match="missing"):
        RedisLink.to(reactor, "redis://127.0.0.1", password_file=tmp_path / "missing")
