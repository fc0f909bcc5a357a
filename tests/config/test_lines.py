"""Finding the lines of a TOML text."""

import tomllib

from hypothesis import given, reject
from hypothesis import strategies as st

from edge.config.lines import locate, show_path

TEXT = '''# a comment with [brackets] and = signs
data_dir = "/x" # one = more

[listen]
https = [
    8443, # ]
    "[::1]:8443",
]
"a b".c = 1
[services . "chat"]
route = \'\'\'
[no.table]
\'\'\'
say = """x = 1
\\"""[nor.this]"""
timeouts = { connect = "5s", first.byte = [1, { deep = 2 }] }
when = 1979-05-27 07:32:00

[[arr]]
a = 1
[arr.sub]
q = 1
[[arr]]
a = 2
[[arr.inner]]
z = 1
'''


def test_each_key_table_and_element_has_its_line():
    tomllib.loads(TEXT)
    lines = {show_path(path): line for path, line in locate(TEXT).items()}
    assert lines == {
        "data_dir": 2,
        "listen": 4,
        "listen.https": 5,
        "listen.https[0]": 6,
        "listen.https[1]": 7,
        'listen."a b"': 9,
        'listen."a b".c': 9,
        "services": 10,
        "services.chat": 10,
        "services.chat.route": 11,
        "services.chat.say": 14,
        "services.chat.timeouts": 16,
        "services.chat.timeouts.connect": 16,
        "services.chat.timeouts.first": 16,
        "services.chat.timeouts.first.byte": 16,
        "services.chat.timeouts.first.byte[0]": 16,
        "services.chat.timeouts.first.byte[1]": 16,
        "services.chat.timeouts.first.byte[1].deep": 16,
        "services.chat.when": 17,
        "arr": 19,
        "arr[0]": 19,
        "arr[0].a": 20,
        "arr[0].sub": 21,
        "arr[0].sub.q": 22,
        "arr[1]": 23,
        "arr[1].a": 24,
        "arr[1].inner": 25,
        "arr[1].inner[0]": 25,
        "arr[1].inner[0].z": 26,
    }


def paths(value, path=()):
    """Every place in a parsed TOML value."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*path, number))


NAMES = st.text("ab-_1", min_size=1, max_size=3) | st.sampled_from(['"a.b"', "'x y'", '"q\\"]"', '"#"', '""'])
BLANKS = st.sampled_from(["", " ", "\t"])
SCALARS = st.sampled_from(
    ["1", "-1.5e3", "true", "inf", '"s"', "'l]'", '"\\""', '"""m\n"x"" #\n"""', "'''\n]}'''", "2001-01-01T00:00:00Z"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: "[ " + ", # ],\n".join(each) + "\n]")
        | st.lists(st.tuples(NAMES, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda each: "{ " + ", ".join(f"{name} = {value}" for name, value in each) + " }"
        )
    ),
    max_leaves=6,
)
PAIRS = st.builds(
    lambda names, before, after, value: before + ".".join(names) + after + "= " + value + " # [c] = 1",
    st.lists(NAMES, min_size=1, max_size=2),
    BLANKS,
    BLANKS,
    VALUES,
)
TABLES = st.builds(
    lambda names, double: ("[[{}]]" if double else "[{}]").format(" . ".join(names)),
    st.lists(NAMES, min_size=1, max_size=3),
    st.booleans(),
)


@given(st.lists(PAIRS | PAIRS | TABLES | st.just("# = [x]") | st.just(""), max_size=8).map("\n".join))
def test_no_place_of_a_valid_text_is_missed_and_none_invented(text):
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        reject()
    lines = locate(text)
    assert set(lines) == set(paths(parsed))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
