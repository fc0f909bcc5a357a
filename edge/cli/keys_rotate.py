"""`aigate keys rotate`."""

import click

from edge.cli.common import Places, common
from edge.cli.keyring import as_json, choose, chosen, keyring, tell_made
from edge.core.quantities import duration


@click.command("rotate")
@chosen()
@click.option(
    "--grace", metavar="TIME", default="24h", show_default=True, help="How long the old key lives on; 0s ends it now."
)
@as_json
@common()
def rotate(places: Places, start: str | None, user: str | None, grace: str, as_json: bool) -> None:
    """Make a key's successor with the same rules. It is shown once; the old key lives on for the grace time."""
    with keyring(places) as ring:
        made = ring.rotate(choose(ring, start, user), duration(grace))
        tell_made(ring, made, as_json, user is None)
