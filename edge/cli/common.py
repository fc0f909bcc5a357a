"""What verbs share: --config and --data, before the verb or after it, and what they lead to."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import define

from edge.config.load import load
from edge.config.read import Reading
from edge.errors import ConfigErrors
from edge.home import find_data, held, open_data
from edge.observe.audit import ENDLESS

Function = TypeVar("Function", bound=Callable[..., Any])


@define(slots=False)
class Places:
    """Which configuration and which data folder a verb works with."""

    config: Path | None = None
    """--config, as typed."""
    data: Path | None = None
    """--data, as typed."""

    @cached_property
    def reading(self) -> Reading:
        """The configuration, read once. Raises ConfigErrors."""
        return self.read()

    def read(self, further: Callable[[Reading], object] | None = None) -> Reading:
        """The configuration; warnings go to standard error. `further` may raise ConfigErrors of its own, that join the others."""
        reading = load(self.config, os.environ, further=further)
        for warning in reading.warnings:
            self.warn(warning)
        return reading

    @property
    def folder(self) -> Path:
        """The data folder, whether or not it exists. Raises ConfigErrors where only the configuration can tell."""
        told = self.data or os.environ.get("AIGATE_DATA_DIR")
        return find_data(self.data, os.environ, None if told else self.reading.config.data_dir)

    @property
    def audit_max(self) -> int:
        """The most bytes of the audit log, as configured."""
        try:
            return self.reading.config.log.audit_max
        except ConfigErrors:
            # A broken configuration is the gate's to tell. Nothing of the log may go by a number that nobody chose.
            return ENDLESS

    @staticmethod
    def warn(text: str) -> None:
        """Say something beside what a verb prints."""
        click.echo(f"aigate: {text}", err=True)

    def writing(self) -> Path:
        """The data folder, made where it is missing, for a verb that writes there: says which, and whether a gate reads it.

        Raises HomeError where it cannot be used.
        """
        folder = open_data(self.folder)
        self.warn(f"data folder {folder}")
        if not held(folder):
            self.warn("no gate is running on this data folder")
        return folder


def _keep(ctx: click.Context, option: click.Parameter, value: Path | None) -> None:
    places = ctx.ensure_object(Places)
    # After the verb beats before it: the inner command is parsed last.
    if value is not None:
        setattr(places, str(option.name), value)


def common(*, passed: bool = True) -> Callable[[Function], Function]:
    """Give a command --config and --data; with `passed`, its first argument is the Places that they mean."""

    def decorate(function: Function) -> Function:
        made: Any = click.make_pass_decorator(Places, ensure=True)(function) if passed else function
        path = click.Path(path_type=Path)
        for name, help_text in (
            ("--data", "The data folder."),
            ("--config", "The configuration file."),
        ):
            made = click.option(
                name, type=path, metavar="PATH", expose_value=False, is_eager=True, callback=_keep, help=help_text
            )(made)
        return made  # type: ignore[no-any-return]  # click's decorators keep the function's type

    return decorate
