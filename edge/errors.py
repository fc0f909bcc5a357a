"""What can go wrong for the person who runs the gate; clients never see one of these."""

from pathlib import Path

from attrs import frozen


class AigateError(Exception):
    """Any failure that is told to the operator in a line or two, without a traceback."""


@frozen(str=False)
class ConfigError(AigateError):
    """One thing wrong with the configuration: `path` is where in the file (`services.chat.route`), `say` what to do."""

    path: str
    say: str
    file: Path | str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = str(self.file or "")
        if self.line is not None:
            where += f":{self.line}"
        return ": ".join(part for part in (where, self.path, self.say) if part)


@frozen(str=False)
class ConfigErrors(AigateError):
    """Everything wrong with the configuration, at once."""

    errors: tuple[ConfigError, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


@frozen(str=False)
class PluginError(AigateError):
    """A plugin that is missing, broken or doubled."""

    file: Path | str
    say: str

    def __str__(self) -> str:
        return f"{self.file}: {self.say}"


class StoreError(AigateError):
    """A store of keys, usage or counters that cannot be read or written."""


class HomeError(AigateError):
    """A folder or file that is missing, locked, or open to others."""


class TLSError(AigateError):
    """A certificate or key that cannot be used."""


class ListenError(AigateError):
    """An address that cannot be listened on."""
