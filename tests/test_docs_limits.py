"""The worked examples of docs/limits.md against the code: what they show loads, and does what the text says."""

import re
import shlex
from pathlib import Path

import pytest

from edge.config.read import read
from edge.core import meters, tokens
from edge.core.quantities import limit

DOCS = (Path(__file__).parent.parent / "docs" / "limits.md").read_text("utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)


def test_there_are_examples_for_a_family_a_lab_a_demo_and_redis():
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads(example, tmp_path):
    (tmp_path / "redis.password").write_text("secret")
    (tmp_path / "redis.password").chmod(0o600)
    file = tmp_path / "aigate.toml"
    file.write_text(example.replace("/etc/aigate/redis.password", "redis.password"))
    read(file, {})


def test_every_limit_in_the_text_is_one():
    commands = [shlex.split(line) for line in DOCS.splitlines() if line.startswith("    aigate keys create")]
    told = [command[at + 1] for command in commands for at, word in enumerate(command) if word == "--limit"]
    assert told
    for text in told:
        limit(text)


@pytest.mark.parametrize(
    "figure",
    [
        f"{tokens.CONTEXT:,}",
        f"{tokens.ANSWER:,} are assumed",
        f"{tokens.STEPS} where none is named",
        f"{tokens.BYTES_PER_AUDIO_SECOND * 8 // 1000} kbit/s",
        f"{meters.BYTES_PER_AUDIO_SECOND * 8 // 1000} kbit/s",
    ],
)
def test_the_figures_in_the_text_are_those_of_the_code(figure):
    assert figure in DOCS
