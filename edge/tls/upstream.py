"""The client's side of TLS, towards an upstream: its name or address is always verified."""

from pathlib import Path
from typing import Any, Final

from attrs import define, field
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, TLSVersion, optionsForClientTLS, platformTrust, trustRootFromCertificates
from zope.interface import implementer

from edge.errors import TLSError
from edge.tls.identity import LARGEST_FILE

ALPN: Final = (b"http/1.1",)
FINISHED: Final = b"SSL negotiation finished successfully"


@implementer(IOpenSSLClientConnectionCreator)
@define(eq=False)
class UpstreamCreator:
    """Makes the connections to one upstream; each tries to resume the session of the latest one that was verified.

    One session and the connection that it may come from are kept, whatever the number of connections.
    """

    _verified: Any
    _latest: SSL.Connection | None = field(init=False, default=None)
    _session: SSL.Session | None = field(init=False, default=None)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See IOpenSSLClientConnectionCreator."""
        self._harvest()
        connection: SSL.Connection = self._verified.clientConnectionForTLS(tlsProtocol)
        if self._session is not None:
            connection.set_session(self._session)
        self._latest = connection
        return connection

    def _harvest(self) -> None:
        # Only a finished handshake proves who is there: a session out of a broken one could be an impostor's.
        latest, self._latest = self._latest, None
        if latest is not None and latest.get_state_string() == FINISHED:
            self._session = latest.get_session() or self._session


def upstream_creator(hostname: str, ca_file: Path | None = None) -> UpstreamCreator:
    """Connections to `hostname` (a DNS name or an IP address), verified against `ca_file` (PEM) or the system's trust.

    Raises TLSError when the file cannot be read or holds no certificate.
    """
    trust = platformTrust() if ca_file is None else _trust(ca_file)
    verified = optionsForClientTLS(
        hostname,
        trustRoot=trust,
        acceptableProtocols=ALPN,
        extraCertificateOptions={
            "raiseMinimumTo": TLSVersion.TLSv1_2,
            "enableSessions": True,
            "enableSessionTickets": True,
        },
    )
    return UpstreamCreator(verified)


def _trust(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            text = opened.read(4 * LARGEST_FILE)
    except OSError as error:
        raise TLSError(f"{file}: the CA file of an upstream cannot be read: {error.strerror}") from error
    mark = b"-----BEGIN CERTIFICATE-----"
    blocks = [mark + block for block in text.split(mark)[1:]]
    if not blocks:
        raise TLSError(f"{file}: no certificate in PEM form is here")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])
    except Exception as error:  # OpenSSL's parsers raise types of their own for each kind of damage
        raise TLSError(f"{file}: a certificate here cannot be read: {error}") from error
