"""`aigate usage --requests`: the newest requests one by one."""

import csv
import io
import json
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge.cli import main
from edge.core.use import NAMES, QUARTER
from edge.stores.usage import Batch, UsageStore


@pytest.fixture
def usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = UsageStore(tmp_path, ZoneInfo("UTC"))
    now = time.time()
    rows = [
        (now - 60, "r1", "1a2b3c4d", "alice", "chat", "gemma3", 200, "", "complete", 9, 4, 1.5, 0.0, '{"tokens":150}'),
        (now - 50, "r2", "5e6f7a8b", "=bob", "chat", "", 502, "upstream-broken", "upstream-broken", 0, 4, 0.5, 0.0, ""),
    ]
    store.add(Batch({}, {}, {}, rows))
    store.close()

    def run(*words: str, code: int = 0) -> str:
        assert (main(["usage", *words, "--data", str(tmp_path)]) or 0) == code
        return capsys.readouterr().out

    return run


def test_the_newest_come_first_with_all_that_is_known(usage) -> None:
    second, first = json.loads(usage("--requests", "--json"))["requests"]
    assert (second["request"], second["status"], second["reason"]) == ("r2", 502, "upstream-broken")
    assert first["units"] == {"tokens": 150} and first["user"] == "alice" and first["at"].count(":") >= 2


def test_a_table_has_a_line_for_each(usage) -> None:
    lines = usage("--requests").splitlines()
    assert len(lines) == 3 and "502" in lines[1] and "150 tokens" in lines[2]


def test_values_are_numbers_and_no_formulas(usage) -> None:
    second, first = csv.DictReader(io.StringIO(usage("--requests", "--csv")))
    assert second["user"] == "'=bob" and first["tokens"] == "150" and first["seconds"] == "1.5"


EVIL = ["a\x9b31mred\u202e", "=cmd()", "-1+1", "@SUM(1)", "＝1", "a;=cmd();b;c", 'a,"=1', "a\r\n=1", "\t=1"]  # noqa: RUF001
TOLD = ["a?31mred?", "'=cmd()", "'-1+1", "'@SUM(1)", "'＝1", "a;'=cmd();b;c", 'a,"=1', "a??=1", "?=1"]  # noqa: RUF001


@pytest.fixture
def hostile(tmp_path: Path, usage):
    store, now = UsageStore(tmp_path, ZoneInfo("UTC")), time.time()
    for model in EVIL:
        row = (now, "r", "1a2b3c4d", "alice", "chat", model, 200, "", "complete", 9, 4, 1.5, 0.0, "")
        sums = tuple(1.0 for _ in NAMES)
        store.add(Batch({(int(now) // QUARTER, "1a2b3c4d", "alice", "chat", model): sums}, {}, {}, [row]))
    store.close()
    return usage


@pytest.mark.parametrize("what", [("--requests",), ("--by", "model")])
def test_no_name_acts_on_a_terminal_or_in_a_spreadsheet(hostile, what) -> None:
    listed = hostile(*what, "--json")
    assert listed.isascii() and listed.replace("\n", "").isprintable() and "\\u009b" in listed
    found = json.loads(listed)["requests" if "--requests" in what else "lines"]
    assert {one.get("model", one.get("name")) for one in found} - {"gemma3", ""} == set(EVIL)
    text = hostile(*what, "--csv")
    assert text.replace("\r\n", "").isprintable()
    assert {one["model"] for one in csv.DictReader(io.StringIO(text))} - {"gemma3", ""} == set(TOLD)
    table = hostile(*what)
    assert table.replace("\n", "").isprintable()


def test_they_can_be_narrowed(usage) -> None:
    assert [one["request"] for one in json.loads(usage("--requests", "--json", "--user", "alice"))["requests"]] == [
        "r1"
    ]
    assert [one["request"] for one in json.loads(usage("--requests", "--json", "--limit", "1"))["requests"]] == ["r2"]
    assert json.loads(usage("--requests", "--json", "--service", "tts"))["requests"] == []
    assert json.loads(usage("--requests", "--json", "--since", "30s"))["requests"] == []
    usage("--user", "alice", code=2)


@pytest.mark.parametrize("limit", ["0", "99999999999999999999", "many"])
def test_a_limit_that_nobody_can_mean_is_a_mistake_of_whoever_typed_it(usage, limit) -> None:
    usage("--requests", "--limit", limit, code=2)


@pytest.mark.parametrize("name", ["--user", "--key", "--service"])
def test_a_name_that_is_no_text_is_a_mistake_of_whoever_typed_it(usage, name) -> None:
    usage("--requests", name, "zz\udcff", code=2)
