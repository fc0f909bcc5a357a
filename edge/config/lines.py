"""On which line of a TOML text each key and list element stands; tomllib does not tell."""

import re
import tomllib
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_KEY: Final = re.compile(r"""\s*([A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')\s*""")
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}" + r"""|"(?:\\.|[^"\\])*"|'[^']*'""", re.DOTALL
)
_BLANK: Final = re.compile(r"(?:\s|#[^\n]*)*")
_PLAIN: Final = re.compile(r"[^,\]}\s#]+(?: \d\d:[^,\]}\s#]+)?")

Path = tuple[str | int, ...]


def show_path(path: Path) -> str:
    """How a place in the file is written: `services.chat.upstreams[0]`, `users."a b".limits`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text


def locate(text: str) -> dict[Path, int]:
    """The line (from 1) of each table, key and list element of a valid TOML `text`."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks a text that tomllib has accepted, so it need not judge what it steps over."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    def to(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def blank(self) -> None:
        if match := _BLANK.match(self.text, self.at):
            self.to(match.end())

    def peek(self, mark: str) -> bool:
        return self.text.startswith(mark, self.at)

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self.blank()
        while self.at < len(self.text):
            if self.peek("[["):
                self.at += 2
                table = self.inside(self.key())
                self.counts[table] = self.counts.get(table, -1) + 1
                self.note(table)
                table += (self.counts[table],)
                self.lines[table] = self.line
                self.at += 2
            elif self.peek("["):
                self.at += 1
                table = self.inside(self.key())
                self.note(table)
                self.at += 1
            else:
                self.pair(table)
            self.blank()
        return self.lines

    def inside(self, path: Path) -> Path:
        """`path` with the number of the element, wherever it leads through a list of tables."""
        made: Path = ()
        for part in path[:-1]:
            made += (part,)
            if made in self.counts:
                made += (self.counts[made],)
        return made + path[-1:]

    def note(self, path: Path) -> None:
        # Of a table that is opened in several places, the first is the one to show.
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], self.line)

    def key(self) -> Path:
        parts: list[str] = []
        while match := _KEY.match(self.text, self.at):
            self.to(match.end())
            written = match[1]
            parts.append(str(tomllib.loads(f"k = {written}")["k"]) if written[0] in "\"'" else written)
            if not self.peek("."):
                break
            self.at += 1
        return tuple(parts)

    def pair(self, table: Path) -> None:
        # Blank text before the key is already gone, so this is the key's own line.
        line = self.line
        path = table + self.key()
        for end in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:end], line)
        self.to(self.text.index("=", self.at) + 1)
        self.blank()
        self.value(path)

    def value(self, path: Path) -> None:
        if match := _STRING.match(self.text, self.at):
            self.to(match.end())
        elif self.peek("["):
            self.elements(path)
        elif self.peek("{"):
            self.at += 1
            self.blank()
            while not self.peek("}"):
                self.pair(path)
                self.after_comma()
            self.at += 1
        elif match := _PLAIN.match(self.text, self.at):
            self.to(match.end())

    def elements(self, path: Path) -> None:
        self.at += 1
        self.blank()
        number = 0
        while not self.peek("]"):
            self.lines[(*path, number)] = self.line
            self.value((*path, number))
            self.after_comma()
            number += 1
        self.at += 1

    def after_comma(self) -> None:
        self.blank()
        if self.peek(","):
            self.at += 1
            self.blank()
