from tests.web.house import House, broke, done

CHAT = "/chat/api/v1/chat/completions"
EVENTS = [("Content-Type", "text/event-stream")]
COST = b'"usage": {"prompt_tokens": 3, "completion_tokens": 4}'


def test_a_model_that_only_the_answer_names_is_noted():
    house = House()
    house.ask("POST", CHAT, body=b"{}")
    house.behind.last.answer(body=b'{"model": "gemma3", ' + COST + b"}")
    assert house.outcome.exchange.model == "gemma3" and house.outcome.units["tokens"] == 7


def test_the_model_that_was_asked_for_stays():
    house = House()
    bobs = house.add("00000b0b", "bob", models=("gemma*",))
    house.ask("POST", CHAT, body=b'{"model": "gemma3"}', key=bobs)
    house.behind.last.answer(body=b'{"model": "other", ' + COST + b"}")
    assert house.outcome.exchange.model == "gemma3"


def test_an_answer_that_breaks_off_is_counted_too():
    for ends, counted in ((done, 4), (broke, 20)):
        house = House()
        house.ask("POST", CHAT, body=b"{}")
        answer = house.behind.last.answer(fields=EVENTS, streams=True)
        answer.feed(b"data: {" + COST + b"}\n\n" + b"data: {}\n\n" * 29)
        ends(answer)
        assert house.outcome.units["completion_tokens"] == counted
