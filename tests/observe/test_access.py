import json
import re

import pytest
from attrs import evolve

from edge.core.batch import Batch, Block
from edge.core.exchange import Session
from edge.core.headers import fields
from edge.observe.access import LONGEST_TARGET, common_line, json_line
from tests.observe.made import ANSWER, AT, ROUTE, arrival, by, outcome, refused

HOSTILE = [
    b'/"}\r\n{"status":200',
    b"/\x1b[2J\x1b]0;owned\x07",
    b"/\xff\xfe\x00",
    "/\u202e\u2028\x85".encode(),
    b"/\x7f\x80\x9b31m",
    b"/" + b"a" * 30_000,
    b'/\\"\\',
]


def one(text: str) -> dict:
    assert text.endswith("\n") and text.count("\n") == 1
    assert text.isascii() and text[:-1].isprintable()
    found = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs))
    assert isinstance(found, dict)
    return found


def _unique(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), names
    return dict(pairs)


def test_it_has_caddys_shape_and_what_we_know_beside_it():
    found = one(json_line(outcome()))
    assert found["logger"] == "http.log.access" and found["msg"] == "handled request" and found["level"] == "info"
    assert found["ts"] == AT
    asked = found["request"]
    assert asked["remote_ip"] == asked["client_ip"] == "192.168.1.7"
    assert (asked["proto"], asked["method"], asked["host"]) == ("HTTP/2.0", "POST", "gate.lan")
    assert asked["uri"] == "/chat/api/v1/chat/completions" and asked["tls"] == {"proto": "h2"}
    assert asked["headers"]["User-Agent"] == ["OpenAI/Python 1.80.0"]
    assert (found["bytes_read"], found["size"], found["status"], found["duration"]) == (412, 5120, 200, 2.5)
    assert (found["user_id"], found["key_id"], found["service"]) == ("alice", "1a2b3c4d", "chat")
    assert found["model"] == "gemma3:4b" and found["upstream"] == "http://127.0.0.1:11434"
    assert found["units"] == {"tokens": 150, "prompt_tokens": 50, "completion_tokens": 100}
    assert (found["ttft"], found["queue"], found["overhead"]) == (0.3, 0.1, 0.0002)
    assert (found["reason"], found["ended"], found["listener"]) == ("", "complete", "https")


def test_it_says_how_the_connection_was_secured():
    session = Session(0x0304, 0x1301, True, "h2", b"gate.lan")
    assert one(json_line(outcome(arrival(tls=session))))["request"]["tls"] == {
        "resumed": True, "version": 772, "cipher_suite": 4865, "proto": "h2", "server_name": "gate.lan",
    }  # fmt: skip
    assert "tls" not in one(json_line(outcome(arrival(secure=False))))["request"]


@pytest.mark.parametrize(
    "name", [b'a"}}\r\n{"level":"x', b"\x1b[2J", b"\xff\xfe", b"x" * 70_000, b"aig_1a2b3c4d_deadbeef"]
)
def test_what_a_client_calls_this_host_in_its_handshake_breaks_no_line(name):
    line = json_line(outcome(arrival(tls=Session(772, 0x1301, False, "", name))))
    assert (
        line.count("\n") == 1 and line.isascii() and "deadbeef" not in line and "\x1b" not in line and len(line) < 2000
    )
    assert set(one(line)["request"]["tls"]) == {"resumed", "version", "cipher_suite", "proto", "server_name"}


def test_of_the_answers_fields_a_few_are_shown_and_no_cookie():
    found = one(json_line(outcome(answer=ANSWER, length=512)))
    assert found["resp_headers"] == {
        "Content-Type": ["application/json"], "Set-Cookie": ["REDACTED"], "Content-Length": ["512"],
    }  # fmt: skip
    assert one(json_line(outcome()))["resp_headers"] == {}
    twice = [(b"content-type", b"a"), (b"Content-Type", b"b"), (b"SET-COOKIE", b"s3cret"), (b"set-cookie", b"s3cret")]
    line = json_line(outcome(answer=twice))
    assert one(line)["resp_headers"] == {"Content-Type": ["b"], "Set-Cookie": ["REDACTED"]} and "s3cret" not in line


@pytest.mark.parametrize("value", [b'a"}\r\n{', b"\x1b[2J", b"\xff" * 5000, b"aig_1a2b3c4d_deadbeef"])
def test_no_answer_of_a_service_breaks_a_line(value):
    for name in (b"Content-Type", b"Retry-After", b"content-encoding"):
        line = json_line(outcome(answer=[(name, value)]))
        assert line.count("\n") == 1 and line.isascii() and "\x1b" not in line and "deadbeef" not in line
        assert one(line)["resp_headers"]


def test_heads_of_every_kind_are_shown_alike_though_their_plans_are_remembered():
    for pairs in (
        [(b"User-Agent", b"a"), (b"Cookie", b"c")], [(b"Cookie", b"c"), (b"User-Agent", b"b")], [(b"user-agent", b"c")], [],
        [(b"X-%d" % number, b"") for number in range(90)] + [(b"Referer", b"r"), (b"Range", b"q" * 3000)],
    ):  # fmt: skip
        for _ in range(2):
            found = one(json_line(outcome(arrival(pairs=pairs))))["request"]["headers"]
            wanted = {name.decode().title() for name, _ in pairs if not name.startswith(b"X-")}
            assert set(found) == wanted and "c" not in found.get("Cookie", [])


def test_a_stranger_at_a_services_door_is_told_with_the_service():
    made = refused()
    found = one(json_line(evolve(made, exchange=made.exchange.along(ROUTE))))
    assert (found["service"], found["user_id"], found["key_id"], found["reason"]) == ("chat", "", "", "no-key")


def test_a_refused_stranger_has_a_line_too():
    found = one(json_line(refused()))
    assert (found["status"], found["reason"], found["ended"], found["user_id"]) == (401, "no-key", "refused", "")
    assert found["ttft"] is None and found["units"] == {} and found["service"] == ""


def test_keys_and_cookies_show_only_that_they_were_there():
    secrets = [
        (name, b"s3cret-value")
        for name in (b"Authorization", b"COOKIE", b"x-api-key", b"Api-Key", b"Proxy-Authorization")
    ]
    text = json_line(outcome(arrival(pairs=secrets)))
    assert "s3cret" not in text
    assert one(text)["request"]["headers"]["Authorization"] == ["REDACTED"]


def test_fields_that_nobody_named_stay_out():
    assert "s3cret" not in json_line(outcome(arrival(pairs=[(b"X-My-Own-Token", b"s3cret")])))


def test_a_field_that_comes_twice_makes_no_second_member():
    found = one(json_line(outcome(arrival(pairs=[(b"User-Agent", b"a"), (b"user-agent", b"b")]))))
    assert found["request"]["headers"] == {"User-Agent": ["b"]}


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("shape", [json_line, common_line])
def test_no_target_breaks_out_of_its_field(target, shape):
    text = shape(outcome(arrival(target)))
    assert text.count("\n") == 1 and text.isascii() and text[:-1].isprintable()
    assert len(text) < LONGEST_TARGET * 2 + 2000
    if shape is json_line:
        assert one(text)["status"] == 200


@pytest.mark.parametrize("value", [target[1:] for target in HOSTILE])
def test_no_field_value_host_method_or_user_breaks_out(value):
    text = value.decode("latin-1")
    head = arrival(pairs=[(b"User-Agent", value), (b"Referer", value)], host=text[:200], method=text[:20])
    made = by(outcome(head, model=text), user=text[:64])
    assert one(json_line(made))["status"] == 200
    line = common_line(made)
    assert line.count("\n") == 1 and line[:-1].isprintable() and line.isascii()


def test_the_common_format_is_what_its_readers_split():
    match = re.fullmatch(
        r'(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+|-)\n', common_line(outcome())
    )
    assert match is not None
    assert match.groups() == (
        "192.168.1.7", "-", "alice", "21/Sep/2026:14:13:20 +0000", "POST", "/chat/api/v1/chat/completions", "HTTP/2.0", "200",
        "5120",
    )  # fmt: skip


def test_what_is_remembered_is_bounded():
    from edge.observe import quoting

    for number in range(quoting.REMEMBERED + 100):
        json_line(outcome(arrival(pairs=[(b"User-Agent", b"%d" % number)])))
    assert len(quoting.known) <= quoting.REMEMBERED
    from edge.observe import fields_shown

    for number in range(fields_shown.PLANS + 10):
        json_line(outcome(arrival(pairs=[(b"X-%d" % number, b"")])))
    assert len(fields_shown._ASKED.plans) <= fields_shown.PLANS


def test_a_head_that_is_shown_again_tells_who_sent_it_this_time():
    one = fields([("User-Agent", "x"), ("Host", "gate.lan")])
    shown = [
        json.loads(json_line(outcome(arrival(target, fields=one, peer=peer, client=client, method=method))))["request"]
        for target, peer, client, method in (
            (b"/a", "192.0.2.1", "192.0.2.1", "GET"),
            (b"/a", "192.0.2.2", "192.0.2.2", "GET"),
            (b"/a", "192.0.2.2", "198.51.100.1", "GET"),
            (b"/b", "192.0.2.2", "198.51.100.1", "GET"),
            (b"/b", "192.0.2.2", "198.51.100.1", "POST"),
            (b"/b", "192.0.2.2", "198.51.100.1", "POST"),
        )
    ]
    assert [(each["uri"], each["remote_ip"], each["client_ip"], each["method"]) for each in shown] == [
        ("/a", "192.0.2.1", "192.0.2.1", "GET"),
        ("/a", "192.0.2.2", "192.0.2.2", "GET"),
        ("/a", "192.0.2.2", "198.51.100.1", "GET"),
        ("/b", "192.0.2.2", "198.51.100.1", "GET"),
        ("/b", "192.0.2.2", "198.51.100.1", "POST"),
        ("/b", "192.0.2.2", "198.51.100.1", "POST"),
    ]


def test_what_is_added_to_a_known_answer_is_shown_where_it_is_worth_it():
    block = Block([(b"Content-Type", b"text/plain"), (b"Set-Cookie", b"secret")])
    quiet = Batch(block, [(b"X-Request-Id", b"1")])
    told = Batch(block, [(b"X-Request-Id", b"2"), (b"retry-after", b"7")])
    paged = Batch(block, [(b"Access-Control-Allow-Origin", b"https://page.example")], b"X-Request-Id: 3\r\n")
    seen = [json.loads(json_line(outcome(answer=answer)))["resp_headers"] for answer in (quiet, told, paged, quiet)]
    assert seen[0] == {"Content-Type": ["text/plain"], "Set-Cookie": ["REDACTED"], **length(seen[0])}
    assert seen[0] == seen[2] == seen[3]
    assert seen[1]["Retry-After"] == ["7"]


def length(shown):
    return {name: value for name, value in shown.items() if name == "Content-Length"}
