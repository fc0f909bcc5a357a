import re
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.core.exchange import Route
from edge.core.refusal import Refusal
from edge.core.routing import (
    DEEPEST,
    NO_ROUTE,
    RESERVED,
    Match,
    Routes,
    forms,
    method_not_allowed,
    needed_rule,
    route_to,
)
from edge.core.service import ANY_METHOD, MANAGED, Rule, Traits

PIECES = st.sampled_from(
    ["a", "api", "..", ".", "%2e", "%2E%2e", "%252e", "%2f", "%5c", "\\", ";", ";x", "//", "/", "%00", "%c0%af", "é", " ", "?", "#", "%", "%zz", "~", "%41"]
)  # fmt: skip
PATHS = st.lists(PIECES, max_size=8).map(lambda parts: ("/" + "".join(parts)).encode("utf-8"))


@pytest.mark.parametrize(
    ("path", "judged"),
    [
        (b"/", ("/",)),
        (b"/chat/api/v1/models", ("/chat/api/v1/models",)),
        (b"/a/", ("/a/",)),
        (b"/a.b/..c", ("/a.b/..c",)),
        (b"/%41", ("/A",)),
        (b"/caf%C3%A9", ("/café",)),
        (b"/a%2Fb", ("/a/b",)),
        (b"//a", ("//a", "/a")),
        (b"/a;x=1/b", ("/a;x=1/b", "/a/b")),
        (b"/a%3Bx/b", ("/a;x/b", "/a/b")),
        (b"/%2541", ("/%41", "/A")),
        (b"/\xff".replace(b"\xff", b"%FF"), ("/\ufffd",)),
    ],
)
def test_a_path_is_judged_decoded_and_where_it_is_odd_in_its_simplest_form_too(path, judged):
    assert forms(path) == judged


@pytest.mark.parametrize(
    "path",
    ["/..", "/.", "/a/..", "/a/./b", "/a/..;/b", "/%2e%2e/", "/a%2f..%2fb", "/a\\..\\b", "/%5c..%5c", "/%252e%252e/x", "/a%00b", "/a%0d%0ab",
     "/%c0%ae", "/%e0%80%af", "/a#b", "/%", "/%g1", "/a b", "/é", "/%25252525252e", "/%7f", "/..%3b/"],
)  # fmt: skip
def test_a_path_that_can_be_read_in_two_ways_is_refused(path):
    told = forms(path.encode())
    assert isinstance(told, Refusal) and told.reason == "bad-request"


@given(PATHS)
def test_what_is_let_pass_holds_nothing_that_leads_elsewhere(path):
    told = forms(path)
    assume(not isinstance(told, Refusal))
    for form in told:
        assert form.startswith("/") and not re.search(r"(^|[/\\\\])\.{1,2}([/\\\\;]|$)", form)
        assert not any(ord(c) < 32 for c in form)
    assert "//" not in told[-1] and ";" not in told[-1] and "\\" not in told[-1]


@given(st.text(alphabet="abcXYZ0189-_~/.", max_size=40), st.integers(0, DEEPEST + 2))
def test_encoding_a_path_again_and_again_hides_nothing(text, times):
    plain = ("/" + text).encode()
    path = plain
    for _ in range(times):
        path = quote(path, safe="/").replace("-", "%2D").replace(".", "%2E").encode()
    told, straight = forms(path), forms(plain)
    if isinstance(straight, Refusal):
        assert isinstance(told, Refusal)
    elif not isinstance(told, Refusal):
        assert straight[-1] == told[-1]


@given(st.binary(max_size=60))
def test_any_bytes_are_judged_and_judged_alike_again(path):
    assert forms(b"/" + path) == forms(b"/" + path)


def test_long_paths_are_judged_too():
    assert forms(b"/" + b"a" * 5000) == ("/" + "a" * 5000,)
    assert isinstance(forms(b"/" + b"a" * 5000 + b"/.."), Refusal)


# Routes


def route(service, prefix, host=None, methods=ANY_METHOD):
    return Route(service, prefix, methods, host)


TABLE = Routes(
    (
        route("chat", b"/chat/api"),
        route("deep", b"/chat/api/deep"),
        route("read", b"/read", methods=frozenset({"GET"})),
        route("comfy", b"", "comfy.test"),
        route("half", b"/half", "comfy.test"),
    )
)


@pytest.mark.parametrize(
    ("host", "path", "service", "rest"),
    [
        ("any", b"/chat/api", "chat", b""),
        ("", b"/chat/api/", "chat", b"/"),
        ("any", b"/chat/api/v1", "chat", b"/v1"),
        ("any", b"/chat/api/deep", "deep", b""),
        ("any", b"/chat/api/deep/er", "deep", b"/er"),
        ("any", b"/chat/api/deeper", "chat", b"/deeper"),
        ("comfy.test", b"/anything", "comfy", b"/anything"),
        ("comfy.test", b"/half/x", "half", b"/x"),
        ("comfy.test", b"/chat/api/x", "comfy", b"/chat/api/x"),
    ],
)
def test_a_host_comes_first_and_then_the_longest_prefix(host, path, service, rest):
    assert TABLE.match(host, path, "GET") == Match(next(r for r in TABLE.routes if r.service == service), rest)


@pytest.mark.parametrize("path", [b"/", b"/chat", b"/chat/apis", b"/Chat/api/x", b"//chat/api/x", b""])
def test_what_no_route_declares_does_not_exist(path):
    assert TABLE.match("any", path, "GET") is NO_ROUTE


def test_a_method_that_a_route_does_not_have_is_named():
    told = TABLE.match("any", b"/read/x", "POST")
    assert isinstance(told, Refusal) and told.status == 405 and told.extra == ((b"Allow", b"GET"),)
    assert method_not_allowed({"POST", "GET"}).extra == ((b"Allow", b"GET, POST"),)


def test_hosts_with_routes_of_their_own_are_known():
    assert TABLE.for_host("comfy.test") and not TABLE.for_host("any") and not TABLE.for_host("")


@given(st.lists(st.sampled_from([b"/a", b"/a/b", b"/a/b/c", b"/b"]), min_size=1, unique=True), st.sampled_from([b"/a", b"/a/b/x", b"/a/b/c/d", b"/b", b"/c"]))  # fmt: skip
def test_of_all_prefixes_that_hold_the_longest_wins(prefixes, path):
    table = Routes(tuple(route(p.decode(), p) for p in prefixes))
    held = [p for p in prefixes if path == p or path.startswith(p + b"/")]
    told = table.match("h", path, "GET")
    if held:
        assert (
            isinstance(told, Match)
            and told.route.prefix == max(held, key=len)
            and told.route.prefix + told.rest == path
        )
    else:
        assert told is NO_ROUTE


@pytest.mark.parametrize(
    ("written", "host", "prefix"),
    [("/chat/api", None, b"/chat/api"), ("/chat/api/", None, b"/chat/api"), ("Comfy.Example.org/", "comfy.example.org", b""),
     ("comfy.example.org/ui", "comfy.example.org", b"/ui"), ("comfy.example.org", "comfy.example.org", b"")],
)  # fmt: skip
def test_routes_are_read_as_they_are_written(written, host, prefix):
    made = route_to("x", written)
    assert (made.host, made.prefix, made.methods) == (host, prefix, ANY_METHOD)


def test_reserved_words_are_those_of_the_promise():
    assert {
        "v1",
        "login",
        "ticket",
        "status",
        "health",
        "metrics",
        "admin",
        ".well-known",
        "mcp",
        "openapi.json",
    } <= RESERVED


# Rules


TRAITS = Traits(
    kind="t",
    rules=(Rule(ANY_METHOD, "/admin/*", scope="manage"), Rule(ANY_METHOD, "/never", scope="never"), Rule(frozenset({"GET"}), "/open/*"), Rule(ANY_METHOD, "//odd")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "scope"),
    [(b"/open/x", ""), (b"/admin/x", "manage"), (b"//admin/x", "manage"), (b"/open/x;a", ""), (b"/elsewhere", "manage"),
     (b"/open//..", None), (b"//never", "never"), (b"//odd", "manage"), (b"/%6Fpen/x", ""), (b"/open%2Fx", "")],
)  # fmt: skip
def test_of_all_readings_of_a_path_the_one_that_asks_for_most_decides(path, scope):
    told = needed_rule(TRAITS, "GET", path)
    assert (told.reason == "bad-request") if scope is None else (told.scope == scope)


def test_of_two_readings_that_need_the_same_scope_the_one_that_names_a_model_decides():
    traits = Traits(kind="t", rules=(Rule(ANY_METHOD, "/by/*", model="path:2"), Rule(ANY_METHOD, "/all", models="openai"), Rule(ANY_METHOD, "*")))  # fmt: skip
    for path in (b"//by/x", b"/by;a/x", b"/%2562y/x"):
        assert needed_rule(traits, "GET", path).model == "path:2"
    assert needed_rule(traits, "GET", b"//all").models == "openai"
    assert needed_rule(traits, "GET", b"//other").path == "*"


def test_what_a_plugin_does_not_name_needs_manage():
    assert needed_rule(TRAITS, "DELETE", b"/open/x") is MANAGED
