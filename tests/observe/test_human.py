from edge.observe.human import HumanLine, line
from tests.observe.made import arrival, by, outcome, refused


def test_it_tells_who_what_and_how_long():
    told = line(outcome())
    assert told.startswith("200 POST /chat/api/v1/chat/completions alice/1a2b3c4d 5120 B 300 ms of 2500 ms ")


def test_a_refusal_says_why():
    assert line(refused()).endswith(" no-key") and "192.168.1.7" in line(refused())


def test_nothing_a_client_or_a_name_holds_acts_on_the_terminal():
    made = by(outcome(arrival(b"/\x1b[2J\r\n\xff")), user="bob\x1b]0;x\x07\u202e")
    text = HumanLine()(made)
    assert text.count("\n") == 1 and text[:-1].isprintable() and text.isascii()


def test_secrets_stay_out():
    text = line(outcome(arrival(b"/a?api_key=s3cret&x=1", id="aig_1a2b3c4d_0011")))
    assert "s3cret" not in text and "aig_" not in text
