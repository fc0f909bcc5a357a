"""Reading the configuration: what each setting may be, and what is said where it is not."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from edge.config.kinds import Address, Upstream
from edge.config.read import read
from edge.config.renamed import Renamed
from edge.config.schema import Config
from edge.core.quantities import Limit
from edge.errors import ConfigError, ConfigErrors


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        file = tmp_path / "aigate.toml"
        file.write_text(text, "utf-8")
        return file

    return write


def errors_of(file, environ=None, **more) -> list[ConfigError]:
    with pytest.raises(ConfigErrors) as caught:
        read(file, environ or {}, **more)
    return list(caught.value.errors)


def the_error(file, environ=None) -> ConfigError:
    errors = errors_of(file, environ)
    assert len(errors) == 1, errors
    return errors[0]


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reading = read(None, {})
    assert reading.config.listen == Config().listen
    assert reading.config.services == {}
    assert reading.warnings == ()


def test_every_kind_of_value_is_parsed(write):
    config = read(
        write("""
        data_dir = "data"
        [listen]
        https = ["127.0.0.1:9443", "[::1]:9443"]
        http = 8080
        plain = "unix:/run/aigate.sock"
        ops = ""
        [services.chat]
        plugin = "ollama"
        upstreams = ["http://127.0.0.1:11434", "https://[fd00::1]", "unix:/run/ollama.sock"]
        timeouts = { connect = "250ms", total = "24h" }
        queue = { length = 0 }
        limits = ["600/minute", "100000 tokens/day", "concurrent=2"]
        inspect = "1 MiB"
        options = { any = ["thing"] }
        [limits]
        requests = ""
        body = 1000
        timezone = "Europe/Berlin"
        [users.alice]
        limits = ["2000/day"]
        [proxies]
        trusted = ["10.0.0.0/8", "fd00::/8", "192.168.1.1"]
        """),
        {},
    ).config
    assert config.listen.https == (Address("127.0.0.1", 9443), Address("::1", 9443))
    assert config.listen.http == (Address("", 8080),)
    assert config.listen.plain == (Address(path="/run/aigate.sock"),)
    assert config.listen.ops == ()
    chat = config.services["chat"]
    assert chat.upstreams == (
        Upstream("http", "127.0.0.1", 11434),
        Upstream("https", "fd00::1", 443),
        Upstream("http", "localhost", 80, "/run/ollama.sock"),
    )
    assert (chat.timeouts.connect, chat.timeouts.total, chat.timeouts.idle) == (0.25, 86400.0, 300.0)
    assert chat.queue.length == 0
    assert chat.limits == (
        Limit(600, "requests", "minute"),
        Limit(100000, "tokens", "day"),
        Limit(2, "concurrent", ""),
    )
    assert chat.inspect == 2**20
    assert chat.options == {"any": ["thing"]}
    assert config.limits.requests is None
    assert config.limits.body == 1000
    assert config.users["alice"].limits == (Limit(2000, "requests", "day"),)
    assert config.proxies.trusted == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.168.1.1/32"))


def test_relative_paths_count_from_the_file(write, tmp_path):
    (tmp_path / "mine").mkdir()
    config = read(write('data_dir = "data"\nplugin_dirs = ["mine"]\n'), {}).config
    assert config.data_dir == tmp_path / "data"
    assert config.plugin_dirs == (tmp_path / "mine",)
    assert config.tls.certs_dir == tmp_path / "certs"


@pytest.mark.parametrize(
    ("text", "line", "path", "said"),
    [
        ("data_dir = 5", 1, "data_dir", 'expects a path, like "certs"; this is a whole number'),
        ("\n\nlisen = 3", 3, "lisen", 'did you mean "listen"?'),
        ("[listen]\nhttp_s = 3", 2, "listen.http_s", 'did you mean "https"?'),
        ("[listen]\nhttps = true", 2, "listen.https", "expects a port"),
        ("[listen]\nhttps = [8443, 1.5]", 2, "listen.https", "expects a port"),
        ('[listen]\nhttps = "::1:8443"', 2, "listen.https", "in brackets"),
        ("[listen]\nhttps = 65536", 2, "listen.https", "is not an address"),
        ("[listen]\nhttps = -1", 2, "listen.https", "is not an address"),
        ('[listen]\nplain = "unix:run/x"', 2, "listen.plain", "absolute path"),
        ("listen = 3", 1, "listen", "expects a table"),
        ("services = []", 1, "services", "expects a table; this is a list"),
        ('services.chat = "x"', 1, "services.chat", "expects a table; this is text"),
        ('[transport]\nfast = "yes"', 2, "transport.fast", "expects true or false; this is text"),
        ("[transport]\nfast = 1", 2, "transport.fast", "expects true or false; this is a whole number"),
        ('[lockout]\nfailures = "20"', 2, "lockout.failures", "expects a whole number from 1; this is text"),
        ("[usage]\nrequests = 1000000001", 2, "usage.requests", "is more than 1000000000"),
        (f"[lockout]\nfailures = 1{'0' * 30}", 2, "lockout.failures", "is more than 1000000000"),
        (f"[usage]\nkwh = 1{'0' * 400}", 2, "usage.kwh", "expects a number from 0"),
        ("[lockout]\nfailures = 0", 2, "lockout.failures", "expects a whole number from 1"),
        ("[lockout]\nfailures = true", 2, "lockout.failures", "this is true or false"),
        ('[lockout]\nwithin = "10 minutes"', 2, "lockout.within", "is not a duration; write it like"),
        ('[lockout]\nwithin = "0s"', 2, "lockout.within", "more than 0"),
        ("[lockout]\nwithin = 10", 2, "lockout.within", "expects a duration"),
        ('[limits]\nbody = "2 Gib"', 2, "limits.body", "is not a size; write it like"),
        ("[limits]\nbody = 0", 2, "limits.body", "at least 1 B"),
        ("[limits]\nbody = 1979-05-27", 2, "limits.body", "this is a date or time"),
        ('[limits]\nrequests = "60"', 2, "limits.requests", "is not a limit; write it like"),
        ('[limits]\nrequests = "0/minute"', 2, "limits.requests", "at least 1"),
        ('[limits]\ngate = ["60/minute",\n "9 cows/day"]', 3, "limits.gate[1]", "'cows' is not a unit"),
        ('[limits]\ngate = "60/minute"', 2, "limits.gate", "expects a list"),
        ('[limits]\nredis = { on_failure = "open" }', 2, "limits.redis.on_failure", "expects one of 'closed', 'local'"),
        ("[tls]\nminimum = 1.2", 2, "tls.minimum", "expects one of '1.2', '1.3'"),
        ("[trace]\nsample = 2", 2, "trace.sample", "expects a number from 0 to 1"),
        ("[trace]\nsample = nan", 2, "trace.sample", "expects a number from 0 to 1"),
        ("[usage]\nkwh = inf", 2, "usage.kwh", "expects a number from 0"),
        ('[proxies]\ntrusted = ["10.0.0.1/8"]', 2, "proxies.trusted[0]", "did you mean '10.0.0.0/8'?"),
        ('[proxies]\ntrusted = ["here"]', 2, "proxies.trusted[0]", "is not a network; write it like"),
        ("[services.chat]", 1, "services.chat.plugin", "is missing"),
        (
            '[services.chat]\nplugin = "x"\nupstreams = [ # two\n"http://a",\n"ftp://b"]',
            5,
            "services.chat.upstreams[1]",
            "is not an upstream",
        ),
        (
            '[services.chat]\nplugin = "x"\ntimeouts.first_byte = 3',
            3,
            "services.chat.timeouts.first_byte",
            "expects a duration",
        ),
        (
            '["services"."chat"]\n"plugin" = "x"\n"queue" = { length = -1 }',
            3,
            "services.chat.queue.length",
            "expects a whole number from 0",
        ),
        ('[users."a b"]\nlimit = []', 2, 'users."a b".limit', 'did you mean "limits"?'),
        ("[listen]\nhttps = 8443\nhttps = 9443", 3, "", "is not TOML: Cannot overwrite a value"),
        ("[listen\n", 1, "", "is not TOML"),
        ("a = ", 1, "", "is not TOML"),
        (f"[edge]\nconnections = {'1' * 5000}", 2, "connections", "more than 4300 digits"),
    ],
)
def test_a_wrong_setting_is_told_with_file_line_and_path(write, text, line, path, said):
    file = write(text)
    error = the_error(file)
    assert (error.file, error.line, error.path) == (file, line, path)
    assert said in error.say
    assert str(error).startswith(f"{file}:{line}: {path}")


def test_every_error_is_told_at_once_in_the_order_of_the_file(write):
    file = write("""lisen = 1
[listen]
plain = "0.0.0.0:80"
[services.chat]
route = "/health"
upstreams = ["x", "y"]
[limits]
timezone = "Mars/Olympus"
body = "x"
""")
    errors = errors_of(file, {"AIGATE_DRAIN__TIMEOUT": "soon"})
    assert [(error.line, error.path) for error in errors] == [
        (1, "lisen"),
        (3, "listen.plain"),
        (4, "services.chat.plugin"),
        (6, "services.chat.upstreams[0]"),
        (6, "services.chat.upstreams[1]"),
        (8, "limits.timezone"),
        (9, "limits.body"),
        (None, "AIGATE_DRAIN__TIMEOUT"),
    ]
    assert len(str(ConfigErrors(tuple(errors))).splitlines()) == 8


def test_errors_of_whoever_judges_further_join_the_others(write):
    def further(reading):
        assert "chat" in reading.config.services
        raise reading.place(ConfigErrors((ConfigError("services.chat.options.voice", "is no voice"),)))

    file = write('[services.chat]\nplugin = "x"\noptions = { voice = 1 }\n[limits]\nbody = "x"\n')
    assert [(error.line, error.path) for error in errors_of(file, further=further)] == [
        (3, "services.chat.options.voice"),
        (5, "limits.body"),
    ]


def test_a_file_that_is_no_text_or_not_there_is_told(tmp_path):
    file = tmp_path / "aigate.toml"
    assert "cannot be read: No such file" in the_error(file).say
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    error = the_error(file)
    assert (error.line, error.say) == (2, "is not UTF-8 text")
    file.write_text("x = " + "[" * 100_000)
    assert the_error(file).file == file


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    file = tmp_path / "aigate.toml"
    file.write_bytes(b"\xef\xbb\xbf[drain]\r\n# x\r\ntimeout = 3\r\n")
    assert the_error(file).line == 3
    file.write_bytes(b'\xef\xbb\xbf[drain]\r\ntimeout = "3s"\r\n')
    assert read(file, {}).config.drain.timeout == 3.0


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f'[services.chat]\nplugin = "x"\nupstreams = ["http://me:{SECRET}@gpu:80"]',
        f'[services.chat]\nplugin = "x"\nupstreams = ["me:{SECRET}@gpu"]',
        f'[services.chat]\nplugin = "x"\nupstreams = ["http://gpu/?key={SECRET}"]',
        f'[services.chat]\nplugin = "x"\nupstreams = ["http://me:{SECRET}@[gpu"]',
        f'[limits.redis]\nurl = "redis://:{SECRET}@127.0.0.1"',
        f'[trace]\nendpoint = "http://me:{SECRET}@host/"',
        f'[limits.redis]\npassword = "{SECRET}"',
        f'password = "{SECRET}',
        f'[limits.redis]\non_failure = "{SECRET}"',
        f'[limits.redis]\ntimeout = ["{SECRET}"]',
    ],
)
def test_an_error_never_shows_a_secret(write, text):
    with pytest.raises(ConfigErrors) as caught:
        read(write(text), {})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_renamed_setting_works_and_warns(write):
    rules = (
        Renamed(("services", "*", "backend"), ("services", "*", "plugin"), "0.4"),
        Renamed(("shutdown", "grace"), ("drain", "timeout"), "0.4"),
    )
    file = write('[services.chat]\nbackend = "ollama"\n[shutdown]\ngrace = "5s"\n')
    with pytest.raises(ConfigErrors) as caught:
        read(file, {})
    assert len(caught.value.errors) == 3
    # The table that the last old name leaves empty is no unknown section.
    reading = read(file, {}, renamed=rules)
    assert reading.config.services["chat"].plugin == "ollama"
    assert reading.config.drain.timeout == 5.0
    assert reading.warnings == (
        f"{file}:2: services.chat.backend: is called services.chat.plugin now; the old name works until version 0.4",
        f"{file}:4: shutdown.grace: is called drain.timeout now; the old name works until version 0.4",
    )


def test_an_error_in_a_renamed_setting_shows_the_line_that_is_there(write):
    rules = (Renamed(("limits", "upload"), ("limits", "body"), "0.4"),)
    with pytest.raises(ConfigErrors) as caught:
        read(write('[limits]\nupload = "x"\n'), {}, renamed=rules)
    assert [(error.line, error.path) for error in caught.value.errors] == [(2, "limits.body")]


def test_a_setting_under_its_old_and_its_new_name_is_an_error(write):
    rules = (Renamed(("limits", "upload"), ("limits", "body"), "0.4"),)
    with pytest.raises(ConfigErrors) as caught:
        read(write("[limits]\nupload = 1\nbody = 2\n"), {}, renamed=rules)
    assert [(error.line, error.path) for error in caught.value.errors] == [(2, "limits.upload")]
    assert "is called limits.body now, which is set too" in caught.value.errors[0].say
