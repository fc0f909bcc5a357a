"""What several tests of this folder need."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher


@pytest.fixture
def need() -> Callable[[str], str]:
    """A function from a program's name to its path; the test skips where it is missing, unless CI insists."""

    def find(program: str) -> str:
        found = shutil.which(program)
        if found is None and os.environ.get("CI") != "true":
            pytest.skip(f"{program} is not installed: make test-deps")
        assert found, f"{program} is not installed: make test-deps"
        return found

    return find


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the gate's log is told."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)
