"""`aigate certs`: the gate's own certificate authority."""

import click

from edge.cli.common import Places, common
from edge.errors import TLSError


@click.group("certs")
@common(passed=False)
def command() -> None:
    """The gate's own certificate authority."""


@command.command("ca")
@common()
def ca(places: Places) -> None:
    """Print the CA's certificate (PEM) on standard output and its fingerprint on standard error."""
    from edge.tls.authority import load_authority

    folder = places.folder / "ca"
    if not folder.exists():
        raise TLSError(f"{folder}: there is no CA yet; the first start makes it")
    authority = load_authority(folder)
    click.echo(authority.pem.decode("ascii"), nl=False)
    click.echo(f"SHA-256 fingerprint: {authority.fingerprint}", err=True)
