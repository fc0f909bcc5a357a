"""What the door speaks: versions, suites, groups, protocols, names and resumption, in handshakes in memory."""

from itertools import permutations

import pytest
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface.verify import verifyObject

from edge.core.expiry import DAY
from edge.errors import TLSError
from edge.tls.contexts import NO_AUTO_CHAIN, Contexts, contexts, server_context, shown
from tests.tls.helpers import NOW, Client, common_name, make_identity, move, reused

DEFAULT = make_identity("default")
A, B = make_identity("a.example.org"), make_identity("b.example.org")
WILD = make_identity("*.wild.example.org")
BOTH = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


def made(**how: object) -> Contexts:
    return contexts(shown(DEFAULT, [(each.names[0], each) for each in (A, B, WILD)]), **how)  # type: ignore[arg-type]


def test_twisted_takes_it_for_a_server() -> None:
    verifyObject(IOpenSSLServerConnectionCreator, made())


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_old_versions_are_refused(version: int) -> None:
    with pytest.raises(SSL.Error):
        Client(version).connect(made().server_connection(None))


@pytest.mark.parametrize("version", BOTH)
def test_both_versions_are_spoken(version: int) -> None:
    assert Client(version).connect(made().server_connection(None)).get_protocol_version() == version


def test_a_minimum_of_13_refuses_12() -> None:
    with pytest.raises(SSL.Error):
        Client(SSL.TLS1_2_VERSION).connect(made(minimum="1.3").server_connection(None))


@pytest.mark.parametrize(
    "suites", [b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA256", b"ECDHE-ECDSA-AES128-SHA", b"ECDHE-ECDSA-AES128-CCM"]
)
def test_suites_without_forward_secrecy_or_aead_and_ccm_are_refused(suites: bytes) -> None:
    client = Client(SSL.TLS1_2_VERSION)
    client.context.set_cipher_list(suites + b":@SECLEVEL=0")
    with pytest.raises(SSL.Error, match="handshake failure"):
        client.connect(made().server_connection(None))


def test_the_server_chooses_the_suite_unless_the_client_prefers_chacha() -> None:
    client = Client(SSL.TLS1_2_VERSION)
    client.context.set_cipher_list(b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
    assert client.connect(made().server_connection(None)).get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
    client = Client(SSL.TLS1_2_VERSION)
    client.context.set_cipher_list(b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256")
    assert client.connect(made().server_connection(None)).get_cipher_name() == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_the_hybrid_group_is_used_where_openssl_has_it() -> None:
    plain = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    plain.set_connect_state()
    reference = SSL.Context(SSL.TLS_SERVER_METHOD)
    reference.use_certificate(DEFAULT.chain[0])
    reference.use_privatekey(DEFAULT.key)
    expected = Client().connect(SSL.Connection(reference, None)).get_group_name()
    assert Client().connect(made().server_connection(None)).get_group_name() == expected


@pytest.mark.parametrize(("group", "taken"), [("X25519", True), ("P-256", True), ("P-384", True), ("P-521", False)])
def test_groups_beyond_the_list_are_refused(group: str, taken: bool) -> None:
    client = Client()
    assert SSL._lib.SSL_CTX_set1_curves_list(client.context._context, group.encode()) == 1
    if taken:
        client.connect(made().server_connection(None))
    else:
        with pytest.raises(SSL.Error):
            client.connect(made().server_connection(None))


@pytest.mark.parametrize(
    ("offered", "taken"),
    [((b"http/1.1", b"h2"), b"h2"), ((b"http/1.1",), b"http/1.1"), ((b"h3", b"h2"), b"h2"), ((), b"")],
)
def test_protocols_are_taken_in_the_servers_order(offered: tuple[bytes, ...], taken: bytes) -> None:
    client = Client(protocols=offered).connect(made().server_connection(None))
    assert client.get_alpn_proto_negotiated() == taken


def test_h2_can_be_off() -> None:
    client = Client(protocols=(b"h2", b"http/1.1")).connect(made(protocols=(b"http/1.1",)).server_connection(None))
    assert client.get_alpn_proto_negotiated() == b"http/1.1"


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", [None, b"a.example.org"])
def test_unknown_protocols_get_the_alert_and_the_next_client_is_served(version: int, name: bytes | None) -> None:
    table = made()
    with pytest.raises(SSL.Error, match="no application protocol"):
        Client(version, protocols=(b"spdy/3",)).connect(table.server_connection(None), name)
    assert Client(version, protocols=(b"h2",)).connect(table.server_connection(None), name)


def test_no_protocols_are_a_mistake_at_the_start() -> None:
    with pytest.raises(ValueError, match="empty"):
        made(protocols=())


@pytest.mark.parametrize(
    ("asked", "common"),
    [
        (None, "default"),
        (b"a.example.org", "a.example.org"),
        (b"B.Example.ORG", "b.example.org"),
        (b"x.wild.example.org", "*.wild.example.org"),
        (b"x.y.wild.example.org", "default"),
        (b"wild.example.org", "default"),
        (b"elsewhere.example.org", "default"),
        (b"\xff\xfe.example.org", "default"),
        (b"." * 200, "default"),
    ],
)
def test_the_server_name_chooses_the_certificate(asked: bytes | None, common: str) -> None:
    assert common_name(Client().connect(made().server_connection(None), asked)) == common


def test_of_two_certificates_for_a_name_the_longer_lived_is_shown() -> None:
    older, newer = make_identity("a.example.org", days=5), make_identity("a.example.org", days=50)
    for order in ((older, newer), (newer, older)):
        assert shown(DEFAULT, [("a.example.org", each) for each in order]).pick(b"a.example.org") is newer


def test_what_is_valid_now_is_shown_before_what_lives_longer() -> None:
    ended = make_identity("a.example.org", start=NOW - 90 * DAY, days=89)
    held = make_identity("a.example.org", start=NOW - 60 * DAY, days=90)
    to_come = make_identity("a.example.org", start=NOW + 20 * DAY, days=90)
    for order in permutations((ended, held, to_come)):
        named = [("a.example.org", each) for each in order]
        assert shown(DEFAULT, named, NOW).pick(b"a.example.org") is held
        assert shown(DEFAULT, named, NOW + 21 * DAY).pick(b"a.example.org") is to_come


def test_a_valid_wildcard_is_shown_before_a_names_own_certificate_that_ended() -> None:
    own = make_identity("a.example.org", start=NOW - 90 * DAY, days=89)
    wild = make_identity("*.example.org", start=NOW - 10 * DAY, days=90)
    named = [(each.names[0], each) for each in (own, wild)]
    assert shown(DEFAULT, named, NOW - 5 * DAY).pick(b"a.example.org") is own
    assert shown(DEFAULT, named, NOW).pick(b"a.example.org") is wild
    # Where neither is valid, the name's own tells the client best what is wrong.
    assert shown(DEFAULT, named, NOW + 100 * DAY).pick(b"a.example.org") is own


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", [None, b"a.example.org", b"x.wild.example.org"])
def test_every_later_connection_resumes(version: int, name: bytes | None) -> None:
    table, client = made(), Client(version)
    first = client.connect(table.server_connection(None), name)
    assert not reused(first)
    resumed = 0
    for _ in range(50):
        latest = client.connect(table.server_connection(None), name, first.get_session())
        resumed += reused(latest)
        first = latest
    assert resumed == 50


@pytest.mark.parametrize("version", BOTH)
def test_a_resumed_session_keeps_the_certificate_that_the_client_verified(version: int) -> None:
    table, client = made(), Client(version)
    session = client.connect(table.server_connection(None), b"a.example.org").get_session()
    again = client.connect(table.server_connection(None), b"b.example.org", session)
    assert reused(again)
    assert common_name(again) == "a.example.org"


@pytest.mark.parametrize("version", BOTH)
def test_rotation_retires_tickets_and_spares_connections_in_hand(version: int) -> None:
    table, client = made(), Client(version)
    server = table.server_connection(None)
    begun = table.server_connection(None)
    held = client.connect(server)
    session = held.get_session()
    table.rotate()
    assert not reused(client.connect(table.server_connection(None), None, session))
    client.connect(begun, b"a.example.org")
    held.send(b"still here")
    move(held, server)
    assert server.recv(100) == b"still here"
    latest = client.connect(table.server_connection(None))
    assert reused(client.connect(table.server_connection(None), None, latest.get_session()))


def test_a_replacement_counts_for_new_connections() -> None:
    table = made()
    begun = table.server_connection(None)
    table.replace(shown(B))
    assert common_name(Client().connect(table.server_connection(None), b"a.example.org")) == "b.example.org"
    assert common_name(Client().connect(begun, b"a.example.org")) == "a.example.org"


def test_a_replacement_that_openssl_refuses_changes_nothing() -> None:
    table = made()
    weak = make_identity("weak.example.org", bits=1024)
    with pytest.raises(TLSError, match=r"weak\.example\.org\.pem: OpenSSL refuses .*too small"):
        table.replace(shown(DEFAULT, [("weak.example.org", weak)]))
    assert common_name(Client().connect(table.server_connection(None), b"a.example.org")) == "a.example.org"


def test_renegotiation_is_refused() -> None:
    server = made().server_connection(None)
    client = Client(SSL.TLS1_2_VERSION).connect(server)
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    move(client, server)
    with pytest.raises(SSL.WantReadError):
        server.recv(1)
    move(server, client)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


def test_a_context_keeps_no_sessions_and_frees_idle_buffers() -> None:
    context = server_context(DEFAULT)
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF
    assert context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS
    assert context.set_mode(0) & NO_AUTO_CHAIN
    assert context.get_timeout() <= 86400
