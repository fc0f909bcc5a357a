"""Finds the configuration, judges who may change it, and reads it: what every start and every verb begins with."""

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import evolve

from edge.config.read import Reading, read
from edge.errors import ConfigError, ConfigErrors, HomeError
from edge.home import SYSTEM_CONFIGURATION, find_configuration, refuse_strangers


def load(
    given: Path | None,
    environ: Mapping[str, str],
    *,
    further: Callable[[Reading], object] | None = None,
    system: Path = SYSTEM_CONFIGURATION,
) -> Reading:
    """The configuration that counts: of `given` (--config) or of the usual places, or the defaults. Raises ConfigErrors.

    `further` is for `read`.
    """
    try:
        found = find_configuration(given, environ, system)
        if found.file:
            refuse_strangers(found.file, "the configuration")
    except HomeError as error:
        raise ConfigErrors((ConfigError("", str(error)),)) from None
    reading = read(found.file, environ, further=further)
    if found.passed_over:
        told = f"{found.file}: taken as the configuration; {', '.join(map(str, found.passed_over))} is passed over"
        return evolve(reading, warnings=(told, *reading.warnings))
    return reading
