"""Secrets put into every input of a gate, and looked for in every output."""

import json
import socket
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from edge.observe.access import common_line, json_line
from edge.observe.auditing import attempt_body
from edge.observe.authlog import auth_line
from edge.observe.human import HumanLine
from tests.live.gate import Gate
from tests.live.test_watching import DEMO, get, when_known
from tests.observe.made import arrival, attempt, by, outcome

OURS = "aig_1a2b3c4d_deadbeefdeadbeefdeadbeefdeadbeef_01234567"
FOREIGN = "s3cret-Imported-Key"
SHAPES = [json_line, common_line, HumanLine()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "field",
    [b"Authorization", b"X-API-Key", b"api-key", b"xi-api-key", b"x-goog-api-key", b"Proxy-Authorization", b"Cookie", b"X-Token",
     b"X-Forwarded-For", b"Sec-WebSocket-Protocol", b"X-Whatever"],
)  # fmt: skip
@pytest.mark.parametrize("secret", [OURS, FOREIGN])
def test_no_field_that_may_hold_a_key_is_shown(shape, field, secret):
    text = shape(outcome(arrival(pairs=[(field, f"Bearer {secret}".encode())])))
    assert secret not in text and "deadbeef" not in text


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "name",
    ["key", "api_key", "apikey", "access_token", "token", "ticket", "secret", "client_secret", "password", "sig", "signature", "auth",
     "session", "X-Amz-Credential", "%6bey"],
)  # fmt: skip
def test_no_value_in_a_query_that_may_be_a_key_is_shown(shape, name):
    for target in (f"/chat/api/x?{name}={FOREIGN}", f"/x?a=1&{name.upper()}={FOREIGN}&b=2", f"/x?a=1;{name}={FOREIGN}"):
        text = shape(outcome(arrival(target.encode())))
        assert FOREIGN not in text, text
        text = json_line(outcome(arrival(pairs=[(b"Referer", f"https://page.example{target}".encode())])))
        assert FOREIGN not in text, text


@pytest.mark.parametrize("shape", SHAPES)
def test_a_key_of_ours_is_shown_nowhere_however_it_came(shape):
    raw = OURS.encode()
    for made in (
        outcome(arrival(b"/chat/api/" + raw)),
        outcome(arrival(b"/x?q=" + raw)),
        outcome(arrival(b"/" + b"a" * 2020 + raw)),
        outcome(
            arrival(
                pairs=[
                    (b"User-Agent", raw),
                    (b"Referer", raw),
                    (b"Origin", raw),
                    (b"Content-Type", raw),
                    (b"Range", raw),
                ]
            )
        ),
        outcome(arrival(id=OURS)),
        outcome(arrival(host=OURS)),
        outcome(model=OURS),
    ):
        assert "deadbeef" not in shape(made), shape(made)


def test_no_record_of_an_attempt_shows_one():
    made = attempt(request=OURS, reason="unknown-key")
    assert "deadbeef" not in attempt_body(made) and "deadbeef" not in auth_line(made)
    assert "alice" in attempt_body(attempt()) and by(outcome(), user="x")


@pytest.mark.live
def test_a_running_gate_writes_no_secret_anywhere(tmp_path: Path):
    """Every place of a request where a key could stand, tried with every kind of key; then every file and page is searched."""
    with Gate(tmp_path, DEMO, environ={"AIGATE_LISTEN__OPS": "127.0.0.1:0"}) as gate:
        valid = gate.make_key("--user", "alice", "--service", "demo")["key"]
        admin = gate.make_key("--user", "root", "--service", "*", "--scope", "admin")["key"]
        when_known(gate, "/status", admin)
        secrets = {"valid": valid, "unknown": OURS, "foreign": FOREIGN}
        for secret in secrets.values():
            quoted = urllib.parse.quote(secret)
            for headers in (
                {"Authorization": f"Bearer {secret}"}, {"X_API_Key": secret}, {"api_key": secret}, {"Cookie": f"session={secret}"},
                {"X_API_Key": valid, "Authorization": f"Bearer {secret}"}, {"Authorization": f"Basic {secret}"},
                {"Authorization": secret}, {"X_Goog_Api_Key": secret}, {"Sec_WebSocket_Protocol": f"aigate.ticket.{secret}"},
            ):  # fmt: skip
                get(f"{gate.url}/demo/api/v1/models", gate.context(), **headers)
            for path in (
                f"/demo/api/v1/models?api_key={quoted}",
                f"/demo/api/v1/models?ticket={quoted}",
                f"/x?token={quoted}",
            ):
                get(gate.url + path, gate.context(), X_API_Key=valid, Referer=gate.url + path)
            body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": secret}], "api_key": secret})
            _post(gate, body, valid)
            # A head that is no HTTP, with a key in it.
            _garble(gate, f"GET /demo/api/v1/models HTTP/1.1\r\nX-API-Key: {secret}\r\nbad header\r\n\r\n")
        pages = [
            when_known(gate, path, admin)[1] for path in ("/metrics", "/status", "/usage?by=key", "/usage?by=model")
        ]
        time.sleep(1.5)
        told = [
            gate.aigate(*words).stdout
            for words in (("usage", "--json"), ("audit", "verify", "--json"), ("keys", "list", "--json"))
        ]
        gate.stop()
        texts = {
            str(file): file.read_bytes()
            for file in gate.data.rglob("*")
            if file.is_file() and file.name != "first-key.header"
        }
        texts |= {f"page {n}": text.encode() for n, text in enumerate([*pages, *told])} | {
            "console": gate.log_file.read_bytes()
        }
        assert any("audit.jsonl" in name for name in texts) and any("access.jsonl" in name for name in texts)
        assert any("usage.sqlite" in name for name in texts) and len(pages[0]) > 1000
        for kind, secret in secrets.items():
            # The part of a key of ours that is secret: its id is no secret.
            needle = (secret[13:45] if secret.startswith("aig_") else secret).encode()
            found = [name for name, text in texts.items() if needle in text]
            assert not found, (kind, found)


def _post(gate: Gate, body: str, key: str) -> None:
    request = urllib.request.Request(
        f"{gate.url}/demo/api/v1/chat/completions",
        body.encode(),
        {"X-Api-Key": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, context=gate.context(), timeout=30) as answer:
        answer.read()


def _garble(gate: Gate, text: str) -> None:
    with socket.create_connection(("127.0.0.1", gate.port()), 10) as plain:
        with gate.context().wrap_socket(plain, server_hostname="localhost") as made:
            made.sendall(text.encode())
            made.recv(4096)


@pytest.mark.parametrize("piece", [b"%", b"a", b"key", b"&%", b"?key", b";%key", b"=?%"])
def test_no_target_makes_the_search_take_long(piece):
    from edge.core.redact import redacted

    target = b"/?" + (piece * 32_000)[:32_000] + b"="
    began = time.process_time()
    redacted(target)
    assert time.process_time() - began < 0.5
