"""Why an upstream gave no answer, or no whole one: facts for logs and for the choice of a status, never a secret."""

from attrs import frozen
from OpenSSL import SSL
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed


class UpstreamFailure(Exception):
    """Any of the failures below; `upstream` names the target, as `http://127.0.0.1:11434`."""

    upstream: str


@frozen(str=False)
class UpstreamRefused(UpstreamFailure):
    """No connection: refused, unreachable, name unknown, certificate not trusted. Nothing of the request was sent."""

    upstream: str
    why: str

    def __str__(self) -> str:
        return f"{self.upstream}: {self.why}"


@frozen(str=False)
class UpstreamTimeout(UpstreamFailure):
    """The upstream took too long; `which` is `connect`, `first_byte` or `idle`, as in the configuration."""

    upstream: str
    which: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.upstream}: {self.which} took more than {self.seconds:g} s"


@frozen(str=False)
class UpstreamBroken(UpstreamFailure):
    """The connection was lost before the answer was whole, or the answer is malformed."""

    upstream: str
    why: str

    def __str__(self) -> str:
        return f"{self.upstream}: {self.why}"


def cause_of(reason: Failure) -> UpstreamFailure | None:
    """The UpstreamFailure in what a request or a body failed with; None where it was not the upstream's fault."""
    error = reason.value
    if isinstance(error, UpstreamFailure):
        return error
    if isinstance(error, ResponseFailed):
        for inner in error.reasons:
            if (found := cause_of(inner)) is not None:
                return found
    return None


def words(reason: Failure) -> str:
    """What went wrong, in one line."""
    error = reason.value
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(problem[-1]) for problem in error.args[0]) or "TLS failed"
    return reason.getErrorMessage().replace("\n", " ").strip(" .") or type(error).__name__
