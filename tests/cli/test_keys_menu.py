"""The menu, driven through a pseudo-terminal as a person would."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.stores.keyring import Keyring
from edge.stores.sqlite import SqliteKeyRecord

ROOT = Path(__file__).parents[2]
UP, DOWN, ENTER, ESCAPE = "\x1b[A", "\x1b[B", "\r", "\x1b"


class Person:
    """Somebody at a terminal with `aigate keys` before them."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.screen = ""
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "LINES": "40",
            "COLUMNS": "100",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from edge.cli import main; sys.exit(main())", "keys", "--data", str(folder)],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environ, start_new_session=True, cwd=home,
            preexec_fn=self.own_terminal,
        )  # fmt: skip

    def own_terminal(self) -> None:
        import fcntl

        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        # Where the tests run in the background of a script, it would be ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def sees(self, text: str, seconds: float = 20.0) -> str:
        """What came on screen up to `text`, which must come; the rest waits for the next look."""
        end = time.monotonic() + seconds
        while text not in self.screen:
            assert time.monotonic() < end, f"{text!r} never came:\n{self.screen}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.screen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    assert text in self.screen, f"{text!r} never came:\n{self.screen}"
        seen, _, self.screen = self.screen.partition(text)
        assert "Traceback" not in seen
        return seen + text

    def types(self, *texts: str) -> None:
        for text in texts:
            os.write(self.master, text.encode())

    def leaves(self) -> int:
        code = self.process.wait(20)
        assert termios.tcgetattr(self.slave)[3] == self.before[3], "the terminal was not put back"
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data"


@pytest.fixture
def person(folder: Path, tmp_path: Path) -> Iterator[Person]:
    made = Person(folder, tmp_path)
    yield made
    made.close()


def with_keys(folder: Path, *users: str) -> SqliteKeyRecord:
    record = SqliteKeyRecord(folder, {})
    for user in users:
        Keyring(record, "test").create({"user": user, "service": ["chat"]}, "phone")
    return record


def test_a_key_is_made_by_numbers_and_words(person: Person, folder: Path) -> None:
    person.sees("q goes back")
    person.types("1")
    person.sees("(a name): ")
    person.types("alice\n")
    person.sees("[*]: ")
    person.types("chat tts\n")
    person.sees("laptop, …): ")
    person.types("phone\n")
    person.sees("[never]: ")
    person.types("30d\n")
    person.sees("[n]: ")
    person.types("\n")
    seen = person.sees("stored nowhere")
    assert re.search(r"aig_[0-9a-f]{8}_[0-9a-f]{32}_[0-9a-f]{8}", seen)
    person.sees("q goes back")
    person.types("q")
    assert person.leaves() == 0
    record = SqliteKeyRecord(folder, {})
    (made,) = record.find()
    assert (made.key.user, made.key.services, made.description) == ("alice", {"chat", "tts"}, "phone")
    assert made.key.expires is not None


def test_arrows_lead_to_a_key_and_only_a_full_yes_deletes_it(folder: Path, tmp_path: Path) -> None:
    record = with_keys(folder, "alice", "bob")
    person = Person(folder, tmp_path)
    try:
        person.sees("q goes back")
        person.types(DOWN, DOWN, DOWN, UP, ENTER)
        person.sees("Which key")
        person.sees("q goes back")
        person.types(DOWN, ENTER)
        person.sees("q goes back")
        person.types("5")
        person.sees("[no]: ")
        person.types("y\n")
        person.sees("q goes back")
        assert record.count() == 2
        person.types("5")
        person.sees("[no]: ")
        person.types("yes\n")
        person.sees("deleted")
        person.sees("q goes back")
        person.types(ESCAPE)
        assert person.leaves() == 0
        assert [each.key.user for each in record.find()] == ["alice"]
    finally:
        person.close()


def test_a_lost_device_ends_and_has_a_successor(folder: Path, tmp_path: Path) -> None:
    record = with_keys(folder, "alice")
    person = Person(folder, tmp_path)
    try:
        person.sees("q goes back")
        person.types("4")
        person.sees("q goes back")
        person.types(ENTER)
        person.sees("[no]: ")
        person.types("yes\n")
        person.sees("[y]: ")
        person.types("\n")
        person.sees("stored nowhere")
        old, new = record.find()
        assert old.key.disabled
        assert new.replaces == old.id
        assert not new.key.disabled
    finally:
        person.close()


@pytest.mark.parametrize("answer", ["q\n", "\x04", "\x03"])
def test_a_lost_device_is_ended_by_the_yes_whatever_becomes_of_the_next_question(
    folder: Path, tmp_path: Path, answer: str
) -> None:
    record = with_keys(folder, "alice")
    person = Person(folder, tmp_path)
    try:
        person.sees("q goes back")
        person.types("4")
        person.sees("q goes back")
        person.types(ENTER)
        person.sees("[no]: ")
        person.types("yes\n")
        person.sees("It is switched off")
        person.sees("[y]: ")
        (ended,) = record.find()
        assert ended.key.disabled
        person.types(answer)
        if answer != "\x03":
            person.sees("q goes back")
            person.types("q")
        person.leaves()
        assert record.find() == [ended]
    finally:
        person.close()


def test_mistakes_are_told_in_a_line_and_the_menu_goes_on(person: Person, folder: Path) -> None:
    person.sees("q goes back")
    person.types("x", "9", "\x1b[Z", "3")
    person.sees("There are no keys yet.")
    person.sees("q goes back")
    person.types("1")
    person.sees("(a name): ")
    person.types("a\tb" * 40 + "\n")
    person.sees("[*]: ")
    person.types("NOT A SERVICE\n\n\n\n")
    seen = person.sees("--service: ")
    assert "is not a name" in seen
    person.sees("q goes back")
    person.types("1")
    person.sees("(a name): ")
    person.types("q\n")
    person.sees("q goes back")
    person.types("5")
    assert person.leaves() == 0


def test_control_c_leaves_a_clean_terminal(person: Person) -> None:
    person.sees("q goes back")
    person.types("\x03")
    assert person.leaves() == 1
    assert "Traceback" not in person.screen
