import pytest

from edge.core.tokens import ANSWER, CONTEXT, STEPS, Worst, uncounted, worst_case


def test_the_bound_of_an_answer_is_told_and_the_prompt_is_guessed():
    worst = worst_case("tokens", {"max_tokens": 200, "n": 3}, 300)
    assert worst == Worst({"bytes": 300, "tokens": 600}, {"tokens": 100})


@pytest.mark.parametrize(
    "fields",
    [
        {"max_completion_tokens": 50},
        {"max_output_tokens": 50},
        {"options.num_predict": 50},
        {"max_tokens": 9, "max_completion_tokens": 50},
    ],
)
def test_every_spelling_of_the_bound_is_read_and_the_largest_counts(fields):
    assert worst_case("tokens", fields, 0).told["tokens"] == 50


@pytest.mark.parametrize(
    "fields", [{}, {"options.num_predict": -1}, {"max_tokens": None}, {"max_tokens": True}, {"max_tokens": "many"}]
)
def test_without_a_bound_the_documented_default_is_assumed(fields):
    worst = worst_case("tokens", fields, 30)
    assert "tokens" not in worst.told
    assert worst.assumed["tokens"] == 10 + ANSWER


def test_a_large_picture_in_a_prompt_is_not_taken_for_text():
    assert worst_case("tokens", {"max_tokens": 1}, 10**8).assumed["tokens"] == CONTEXT


def test_a_guess_never_asks_for_more_than_the_whole_limit_and_what_is_told_does():
    assert Worst({}, {"tokens": 1054}).of("tokens", 100) == 100
    assert Worst({"tokens": 80}, {"tokens": 1054}).of("tokens", 100) == 100
    assert Worst({"tokens": 180}, {"tokens": 1054}).of("tokens", 100) == 180
    assert Worst({"tokens": 10}, {"tokens": 20}).of("tokens", 100) == 30
    assert Worst().of("tokens", 100) == 0


def test_speech_is_its_characters():
    assert worst_case("speech", {"input": "héllo"}, 99).told["characters"] == 5
    assert worst_case("speech", {"text": "hi"}, 99).told["characters"] == 2
    assert worst_case("speech", {}, 99).assumed["characters"] == 99


def test_of_several_texts_the_longest_is_charged_since_services_read_different_ones():
    assert worst_case("speech", {"input": "x", "text": "y" * 400}, 450).told["characters"] == 400
    assert worst_case("speech", {"input": "x" * 400, "text": "y"}, 450).told["characters"] == 400
    assert worst_case("speech", {"input": "x", "phonemes": "y" * 400}, 450).told["characters"] == 400
    assert worst_case("speech", {"input": None, "text": "hi"}, 99).told["characters"] == 2
    assert worst_case("speech", {"input": "x", "phonemes": ["y" * 400]}, 450).assumed["characters"] == 450


def test_a_recording_is_guessed_from_its_bytes():
    assert worst_case("transcription", {}, 8000).assumed["audio_seconds"] == 2
    assert worst_case("transcription", {}, None).of("audio_seconds", 60) == 60


def test_pictures_are_counted_with_their_steps():
    assert worst_case("images", {"n": 2, "steps": 20}, 0).told == {"bytes": 0, "images": 2, "steps": 40}
    assert worst_case("images", {"batch_size": 2, "n_iter": 3}, 0).told["images"] == 6
    assert worst_case("images", {"n": -4}, 0).told["images"] == 1
    assert worst_case("images", {}, 0).assumed == {"steps": STEPS}
    assert worst_case("images", {"num_inference_steps": 7}, 0).told["steps"] == 7


def test_steps_that_are_said_twice_are_the_larger():
    assert worst_case("images", {"steps": 1, "num_inference_steps": 50}, 0).told["steps"] == 50
    assert worst_case("images", {"steps": 50, "num_inference_steps": 1}, 0).told["steps"] == 50


@pytest.mark.parametrize(
    "value", [8.0, 1e400, "8.0", " 8", "8 ", "+8", "1_0", "\u0668", True, [8], {}, 10**15, -(10**400)]
)
def test_a_count_that_services_may_read_otherwise_is_found(value):
    for name in ("n", "batch_size", "steps", "max_tokens", "options.num_predict"):
        assert uncounted({name: value}) == name


@pytest.mark.parametrize("value", [8, 0, -1, None, "8", "-1", "", 2**31 - 1])
def test_what_clients_send_as_a_count_is_read_in_one_way(value):
    assert uncounted({"n": value, "input": 8.0}) is None


def test_a_form_spells_its_numbers_in_digits():
    assert worst_case("images", {"n": "3", "steps": "20"}, 0).told == {"bytes": 0, "images": 3, "steps": 60}
    assert worst_case("images", {"n": "9" * 20}, 0).told["images"] == 1


def test_a_request_can_only_cost_what_it_is_metered_by():
    assert [unit for unit in ("tokens", "images", "steps", "bytes") if worst_case("images", {}, 0).counts(unit)] == [
        "images",
        "steps",
        "bytes",
    ]
    assert not worst_case("", {}, 0).counts("tokens")


def test_anything_else_costs_its_bytes():
    assert worst_case("", {}, 12) == Worst({"bytes": 12}, {})
