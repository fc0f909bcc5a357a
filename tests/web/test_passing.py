"""What is worked out once for a head that comes again on its connection, while everything around it changes."""

from edge.testing import key
from tests.web.house import BASE, Behind, House, reply


def answered(talk):
    """The answers on a connection, split."""
    return talk.read().count(b"HTTP/1.1 200")


def test_a_head_that_comes_again_goes_on_alike_with_an_id_of_its_own():
    house = House()
    talk = house.connect()
    sent = []
    for _ in range(3):
        talk.ask("GET", "/chat/api/x", ("X-Mine", "1"), ("Cookie", "a=b"))
        sent.append(house.behind.last)
        house.behind.last.answer()
    ids = [one.field(b"x-request-id") for one in sent]
    rest = [[pair for pair in one.pairs if pair[0] != b"X-Request-Id"] for one in sent]
    assert len(set(ids)) == 3
    assert rest[0] == rest[1] == rest[2] and (b"X-Mine", b"1") in rest[0]
    assert answered(talk) == 3


def test_another_path_with_the_same_fields_is_another_request():
    house = House()
    talk = house.connect()
    for path in ("/x", "/y?a=1", "/x"):
        talk.ask("GET", "/chat/api" + path)
        assert house.behind.last.path == path.encode()
        house.behind.last.answer()


def test_a_body_of_another_length_is_read_whole_after_the_same_head():
    house = House()
    talk = house.connect()
    for body in (b"x", b"y" * 500, b"", b"z" * 3, b"x"):
        talk.ask("POST", "/chat/api/x", body=body)
        sent = house.behind.last
        assert (sent.body if isinstance(sent.body, bytes) else b"") == body
        sent.answer()
    assert answered(talk) == 5


def test_what_a_connection_field_names_stays_here_each_time():
    house = House()
    talk = house.connect()
    for _ in range(2):
        talk.ask("GET", "/chat/api/x", ("Connection", "x-secret"), ("X-Secret", "1"))
        assert house.behind.last.field(b"x-secret") is None
        house.behind.last.answer()


def test_a_key_that_is_switched_off_is_refused_though_its_head_was_let_in_before():
    house = House()
    talk = house.connect()
    talk.ask("GET", "/chat/api/x")
    house.behind.last.answer()
    house.store.put(key("0badcafe", "alice", ("chat",), disabled=True))
    talk.ask("GET", "/chat/api/x")
    assert talk.read().count(b"x-aigate-reason: disabled-key") == 1


def test_a_key_that_is_gone_is_unknown_though_its_head_was_let_in_before():
    house = House()
    talk = house.connect()
    talk.ask("GET", "/chat/api/x")
    house.behind.last.answer()
    house.store.remove("0badcafe")
    talk.ask("GET", "/chat/api/x")
    assert talk.read().count(b"x-aigate-reason: unknown-key") == 1


def test_a_key_that_ends_is_refused_from_that_moment_on():
    house = House()
    ending = house.add("00000002", expires=house.now + 10)
    talk = house.connect()
    talk.ask("GET", "/chat/api/x", key=ending)
    house.behind.last.answer()
    house.now += 11
    talk.ask("GET", "/chat/api/x", key=ending)
    assert talk.read().count(b"x-aigate-reason: expired-key") == 1


def test_two_keys_on_one_connection_are_two_callers():
    house = House()
    other = house.add("00000002", user="bob")
    talk = house.connect()
    for shown in (house.secret, other, house.secret):
        talk.ask("GET", "/chat/api/x", key=shown)
        house.behind.last.answer()
    assert [one.exchange.caller.user for one in house.outcomes] == ["alice", "bob", "alice"]


def test_each_server_is_called_by_its_own_name():
    first, second = Behind(auto=lambda sent: reply()), Behind("http://127.0.0.1:11435", auto=lambda sent: reply())
    house = House()
    house.guards["chat"].resource = house.through(first, second)
    talk = house.connect()
    for _ in range(4):
        talk.ask("GET", "/chat/api/x")
    hosts = {one.last.field(b"host") for one in (first, second)}
    assert hosts == {BASE.removeprefix("http://").encode(), b"127.0.0.1:11435"}
    assert answered(talk) == 4


def test_no_packed_answer_is_asked_for_where_its_cost_is_read_whoever_asks():
    house = House()
    talk = house.connect()
    for target, asked in (("/v1/chat/completions", None), ("/v1/other", b"gzip")):
        talk.ask("POST", "/chat/api" + target, ("Accept-Encoding", "gzip"), body=b"{}")
        assert house.behind.last.field(b"accept-encoding") == asked
        house.behind.last.answer()


def test_an_allowed_page_is_the_services_own_by_every_field_that_tells_whence_it_comes():
    house = House()
    whence = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")]
    house.ask("GET", "/chat/api/x", ("Origin", "https://app.example"), *whence)
    assert not [name for name, _ in house.behind.last.pairs if name.startswith(b"Sec-Fetch-")]
    house.ask("GET", "/chat/api/x", *whence)
    assert house.behind.last.field(b"sec-fetch-site") == b"cross-site", "without an origin nothing was judged"
    kept = House(forward={"keep_host": True})
    kept.ask("GET", "/chat/api/x", ("Origin", "https://app.example"), *whence)
    assert kept.behind.last.field(b"sec-fetch-site") == b"cross-site", "nor is it hidden where the origin is not"
