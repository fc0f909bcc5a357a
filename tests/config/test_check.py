"""What the types cannot say: every setting that makes no sense is told with its place."""

from pathlib import Path

import pytest
from attrs import evolve

from edge.config.check import check, is_loopback, warn
from edge.config.kinds import Address, Upstream
from edge.config.lines import show_path
from edge.config.read import read
from edge.config.schema import Config, ListenConfig, ServiceConfig
from edge.errors import ConfigErrors
from tests.tls.helpers import make_pair


def told(tmp_path: Path, text: str) -> dict[str, str]:
    """Path → what is said, for a configuration of `text`."""
    file = tmp_path / "aigate.toml"
    file.write_text(text)
    try:
        read(file, {})
    except ConfigErrors as errors:
        assert all(error.file == file and error.line for error in errors.errors)
        return {error.path: error.say for error in errors.errors}
    return {}


def test_the_defaults_make_sense():
    assert check(Config()) == []
    assert warn(Config()) == []


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ('[listen]\nhttps = ""', "listen.https", "nobody could reach the gate"),
        ('[listen]\nplain = "0.0.0.0:8081"', "listen.plain", "set plain_anywhere = true"),
        ("[listen]\nplain = 8081", "listen.plain", "set plain_anywhere = true"),
        ('[listen]\nplain = "192.168.1.2:8081"', "listen.plain", "in the clear"),
        ("[listen]\nhttps = 8444", "listen.ops", "is taken by another listener"),
        ('[listen]\nhttps = ["127.0.0.1:1", "127.0.0.1:1"]', "listen.https", "is taken by another listener"),
        ('[listen]\nplain = ["unix:/a", "unix:/a"]', "listen.plain", "is taken by another listener"),
        ('[listen]\nhttps = "a b:1"', "listen.https", "is not a host name"),
        (f'[listen]\nplain = "unix:/{"x" * 107}"', "listen.plain", "at most 107 bytes"),
        ('[tls]\ncertificate = "acme"', "tls.certificate", "is not built yet"),
        ('[tls]\ncertificate = "files"', "tls.certs_dir", "certs is not a folder"),
        ('[tls]\nnames = ["ai.example.org", "https://x"]', "tls.names[1]", "is not a host name"),
        ('[services.Chat]\nplugin = "x"', "services.Chat", "is not a service's name"),
        ('[services."a.b"]\nplugin = "x"', 'services."a.b"', "is not a service's name"),
        ('[services.a]\nplugin = "../x"', "services.a.plugin", "is not a plugin's name"),
        ('[services.a]\nplugin = "x"\nbrowser = true', "services.a.browser", "is not built yet"),
        ('[services.a]\nplugin = "x"\nca_file = "no.pem"', "services.a.ca_file", "for https upstreams"),
        (
            '[services.a]\nplugin = "x"\nupstreams = ["http://g:1", "http://g:1/"]',
            "services.a.upstreams[1]",
            "is there twice",
        ),
        ('[services.a]\nplugin = "x"\nupstreams = ["http://g!"]', "services.a.upstreams[0]", "is not a host name"),
        ('[services.a]\nplugin = "x"\nhealth = { path = "x" }', "services.a.health.path", "begins with a slash"),
        (
            '[services.a]\nplugin = "x"\nlimits = ["1/day", "2/day"]',
            "services.a.limits",
            "limits requests per day 2 times",
        ),
        ('[services.a]\nplugin = "x"\nroute = "chat"', "services.a.route", "begins with a slash"),
        ('[services.a]\nplugin = "x"\nroute = "/"', "services.a.route", "would take every address"),
        ('[services.a]\nplugin = "x"\nroute = "/v1"', "services.a.route", "/v1 is the gate's own"),
        ('[services.a]\nplugin = "x"\nroute = "/Health/x"', "services.a.route", "the gate's own"),
        ('[services.a]\nplugin = "x"\nroute = "/.well-known/x"', "services.a.route", "the gate's own"),
        ('[services.a]\nplugin = "x"\nroute = "/a//b"', "services.a.route", "the part ''"),
        ('[services.a]\nplugin = "x"\nroute = "/a/../b"', "services.a.route", "the part '..'"),
        ('[services.a]\nplugin = "x"\nroute = "/a%2fb"', "services.a.route", "the part 'a%2fb'"),
        ('[services.a]\nplugin = "x"\nroute = "https://h/"', "services.a.route", "is not a host name"),
        ('[services.a]\nplugin = "x"\nroute = "h:80/"', "services.a.route", "is not a host name"),
        ('[limits]\nrequests = "9 tokens/day"', "limits.requests", "counts requests"),
        ('[limits]\ntimezone = "Mars"', "limits.timezone", "is not a time zone"),
        ('[limits]\ntimezone = "../etc/passwd"', "limits.timezone", "is not a time zone"),
        ('[limits.redis]\nurl = "http://x"', "limits.redis.url", "write it like redis://"),
        ('[limits.redis]\nurl = "redis://u:p@x"', "limits.redis.url", "password_file"),
        ('[limits.redis]\nurl = "redis://h:99999"', "limits.redis.url", "write it like redis://"),
        ('[limits.redis]\nurl = "redis://h/first"', "limits.redis.url", "names its database by a number"),
        ('[limits.redis]\nurl = "unix:///x?db=x"', "limits.redis.url", "write it like unix:///run/redis.sock?db=1"),
        ('[limits.redis]\nurl = "unix://x"', "limits.redis.url", "write it like unix:///run/redis.sock?db=1"),
        ('[limits.redis]\nca_file = "aigate.toml"', "limits.redis.ca_file", "for rediss:// only"),
        (
            '[limits.redis]\nurl = "rediss://h"\nca_file = "aigate.toml"',
            "limits.redis.ca_file",
            "no certificate in PEM form",
        ),
        ('[limits.redis]\nurl = "rediss://h"\nca_file = "no.pem"', "limits.redis.ca_file", "No such file"),
        ('[limits.redis]\nurl = "rediss://h"\nca_file = "a\\u0000b"', "limits.redis.ca_file", "holds no NUL"),
        ('[limits.redis]\npassword_file = "a\\u0000b"', "limits.redis.password_file", "holds no NUL"),
        ('data_dir = "a\\u0000b"', "data_dir", "holds no NUL"),
        ('[log]\naccess_file = "~nobody-of-that-name/x"', "log.access_file", "knows no such user's home"),
        (
            '[services.a]\nplugin = "x"\nupstreams = ["https://g"]\nca_file = "aigate.toml"',
            "services.a.ca_file",
            "no certificate in PEM form",
        ),
        ('[limits.redis]\npassword_file = "none"', "limits.redis.password_file", "No such file"),
        ('[users." x"]', 'users." x"', "is not a user's name"),
        ('[users."x\\u0007"]', 'users."x\x07"', "is not a user's name"),
        ('[users.x]\nlimits = ["concurrent=1", "concurrent=2"]', "users.x.limits", "limits concurrent 2 times"),
        ('[cors]\norigins = ["https://a.org/"]', "cors.origins[0]", "is not an origin"),
        ('[cors]\norigins = ["a.org"]', "cors.origins[0]", "is not an origin"),
        ('[cors]\norigins = ["https://a:0"]', "cors.origins[0]", "is not an origin"),
        ('[cors]\norigins = ["https://*.a.org"]', "cors.origins[0]", "is not an origin"),
        ('[cors]\norigins = ["null"]', "cors.origins[0]", "is not an origin"),
        ("[edge]\nconnections = 10", "edge.connections_per_address", "is more than edge.connections"),
        ("[edge]\nhead = 100", "edge.head", "lies between 1024 and"),
        ("[edge]\nh2_window = 100", "edge.h2_window", "lies between 65535 and"),
        ('[trace]\nendpoint = "here"', "trace.endpoint", "write it like http://"),
        ('[usage]\ncurrency = "euro"', "usage.currency", "three capital letters"),
        ('plugin_dirs = ["none"]', "plugin_dirs[0]", "none is not a folder"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path, text, path, said):
    errors = told(tmp_path, text)
    assert list(errors) == [path] or (path == "services.a.ca_file" and path in errors), errors
    assert said in errors[path]


def test_a_price_of_an_unknown_service_is_told_with_the_nearest_name(tmp_path):
    errors = told(tmp_path, '[services.chat]\nplugin = "x"\n[usage.prices.chatt]\n[usage.prices."*"]\n')
    assert errors == {"usage.prices.chatt": 'is not a service; did you mean "chat"?'}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("/chat/api", "/chat/api/", "is the route of 'a' already"),
        ("/chat", "/chat/api", "overlaps the route of 'a'"),
        ("/chat/api", "/chat", "overlaps the route of 'a'"),
        ("h.org/", "H.org/", "is the route of 'a' already"),
        ("h.org/", "h.org/x", "overlaps the route of 'a'"),
    ],
)
def test_two_services_cannot_share_a_place(tmp_path, first, second, said):
    errors = told(
        tmp_path, f'[services.a]\nplugin = "x"\nroute = "{first}"\n[services.b]\nplugin = "x"\nroute = "{second}"\n'
    )
    assert list(errors) == ["services.b.route"]
    assert said in errors["services.b.route"]


@pytest.mark.parametrize(
    ("first", "second"), [("/chat", "/chatter"), ("/a/b", "/a/c"), ("h.org/", "/x"), ("h.org/", "i.org/")]
)
def test_routes_side_by_side_are_well(tmp_path, first, second):
    text = f'[services.a]\nplugin = "x"\nroute = "{first}"\n[services.b]\nplugin = "x"\nroute = "{second}"\n'
    assert told(tmp_path, text) == {}


def test_plain_anywhere_is_a_choice_that_must_be_made(tmp_path):
    assert told(tmp_path, '[listen]\nplain = "0.0.0.0:8081"\nplain_anywhere = true') == {}


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.1:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("localhost:1", True),
        ("unix:/a", True),
        ("1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("[::ffff:10.0.0.1]:1", False),
        ("localhost.example.org:1", False),
        ("169.254.0.1:1", False),
    ],
)
def test_loopback_is_told_from_everywhere_else(text, here):
    assert is_loopback(Address.parse(text)) is here


def test_port_0_never_clashes():
    anywhere = (Address(port=0),)
    assert check(Config(listen=ListenConfig(https=anywhere, http=anywhere, ops=()))) == []


def test_an_https_upstream_may_name_its_own_ca(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(make_pair("gpu")[0])
    service = ServiceConfig(plugin="x", upstreams=(Upstream("https", "gpu", 443),), ca_file=ca)
    assert check(Config(services={"a": service})) == []
    missing = evolve(service, ca_file=tmp_path / "no.pem")
    ((place, say),) = check(Config(services={"a": missing}))
    assert show_path(place) == "services.a.ca_file"
    assert "No such file" in say


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("", True),
        ('trusted = ["10.0.0.2"]', False),
        ('[listen]\nhttps = "127.0.0.1:8443"\nhttp = "unix:/run/a"', False),
        ('[listen]\nhttps = "127.0.0.1:8443"\nhttp = "8080"', True),
    ],
)
def test_announced_addresses_of_anybody_who_reaches_a_port_are_warned_of(tmp_path, more, warned):
    file = tmp_path / "aigate.toml"
    file.write_text(f"[proxies]\nproxy_protocol = true\n{more}\n")
    warnings = [each for each in read(file, {}).warnings if "proxy_protocol" in each]
    assert len(warnings) == warned


def test_what_is_allowed_and_hardly_meant_is_warned_of(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_text('[cors]\norigins = ["*"]\n[proxies]\ntrusted = ["10.0.0.0/8", "0.0.0.0/0"]\n')
    warnings = read(file, {}).warnings
    assert [warning.split(": ")[:2] for warning in warnings] == [
        [f"{file}:4", "proxies.trusted[1]"],
        [f"{file}:2", "cors.origins"],
    ]
