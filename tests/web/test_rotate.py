import json

from edge.core.refusal import Refusal
from edge.core.service import POST
from edge.testing import key
from edge.web.guard import Guard
from edge.web.rotate import rotate_page
from edge.web.router import Own
from tests.web.house import NOW, House


def rotating(made):
    house, asked = House(), []

    async def fetch(old):
        asked.append(old.id)
        return made

    house.router.own = {b"/rotate": Own(Guard(rotate_page(fetch), house.door), POST)}
    return house, asked


def test_a_key_fetches_its_successor_which_is_shown_once():
    house, asked = rotating((key("00000b0b", "alice", ("chat", "asr"), expires=NOW), "aig_new"))
    talk = house.ask("POST", "/rotate", body=b"")
    told = json.loads(talk.body)
    assert talk.status == 201 and talk.field("cache-control") == "no-store" and asked == ["0badcafe"]
    assert (told["id"], told["key"], told["replaces"], told["services"]) == (
        "00000b0b",
        "aig_new",
        "0badcafe",
        ["asr", "chat"],
    )
    assert told["expires"].startswith("2023-11-14")


def test_a_successor_without_an_end_has_none():
    house, _ = rotating((key("00000b0b"), "aig_new"))
    assert json.loads(house.ask("POST", "/rotate", body=b"").body)["expires"] is None


def test_a_refused_rotation_is_said_and_strangers_have_none():
    house, asked = rotating(Refusal("store-unavailable", "not now"))
    assert house.ask("POST", "/rotate", body=b"").status == 503
    assert house.ask("POST", "/rotate", body=b"", key=None).status == 401 and asked == ["0badcafe"]
    assert house.ask("GET", "/rotate").status == 405
