"""Where a key's model rule counts: what `explain` and the verbs that make or change keys know of services' kinds."""

from collections.abc import Iterable

import click

from edge.cli.common import Places
from edge.config.read import Reading
from edge.core.keyrecord import KeyRecord
from edge.core.models import tells_models
from edge.core.service import Traits
from edge.errors import AigateError


def kinds_of(reading: Reading) -> dict[str, Traits | None]:
    """What each configured service's plugin says of it beforehand. Raises AigateError where the plugins cannot be loaded."""
    from edge.home import shipped
    from edge.registry import Registry

    registry = Registry.load(shipped("plugins"), [folder for folder in reading.config.plugin_dirs if folder.is_dir()])
    known = registry.known
    return {name: known.get(service.plugin) for name, service in reading.config.services.items()}


def warn_of_models(places: Places, records: Iterable[KeyRecord]) -> None:
    """Say on standard error at which of their services the model rule of keys counts for nothing, or not everywhere."""
    ruled = [record.key for record in records if record.key.models]
    if not ruled:
        return
    try:
        kinds = kinds_of(places.reading)
    except AigateError:
        return  # a broken configuration is the gate's to tell; keys can be made all the same
    told = {
        name: tells_models(kind)
        for name, kind in kinds.items()
        if kind is not None and any(key.serves(name) for key in ruled)
    }
    nowhere = ", ".join(name for name, (some, _) in told.items() if not some)
    partly = ", ".join(name for name, (some, every) in told.items() if some and not every)
    where = [f"not at all for {nowhere}"] * bool(nowhere) + [f"not on every path of {partly}"] * bool(partly)
    if where:
        click.echo(
            f"aigate: a model rule counts {' and '.join(where)}, where requests do not tell their model", err=True
        )
