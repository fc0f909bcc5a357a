from types import SimpleNamespace

from edge.core.refusal import Refusal
from edge.web.cut import cut
from edge.web.pages import refusal_answer, refuse
from tests.web.house import House, done


def test_a_refusal_names_its_reason_and_keeps_out_of_caches():
    pairs, body = refusal_answer(Refusal("no-route", "nothing"), "openai", "r1")
    fields = {name.lower(): value for name, value in pairs}
    assert fields[b"x-aigate-reason"] == b"no-route" and fields[b"cache-control"] == b"no-store"
    assert fields[b"content-type"] == b"application/json" and body.endswith(b"}\n")


def test_a_refusal_of_what_is_under_way_breaks_it_off():
    house = House()
    request = kept(house)
    answer = house.behind.last.answer(streams=True)
    answer.feed(b"part")
    refuse(request, Refusal("store-unavailable", "no"))
    assert (
        house.outcome.ended == "refused" and house.outcome.reason == "store-unavailable" and house.outcome.status == 200
    )


def kept(house):
    """A request that its service has in hand."""
    seen = []
    find = house.router.find
    house.site.router = SimpleNamespace(find=lambda request: seen.append(request) or find(request))
    house.ask()
    return seen[0]


def test_what_is_over_is_neither_refused_nor_cut_again():
    house = House()
    request = kept(house)
    done(house.behind.last.answer(streams=True))
    refuse(request, Refusal("store-unavailable", "no"))
    cut(request, "revoked")
    assert (house.outcome.ended, house.outcome.reason) == ("complete", "") and request.ledger.reason == ""


def test_a_cut_tells_who_works_for_the_request_and_its_client():
    house = House()
    request = kept(house)
    cut(request, "revoked")
    assert house.behind.last.cancelled and request.finished and house.outcome.ended == "revoked" and house.at_rest()
