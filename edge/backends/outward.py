"""treq, transparent: what is judged is what is sent, what comes is what is handed on, nothing is shared among callers.

Stock treq keeps one cookie jar for all callers, follows redirects, asks for gzip and unpacks it, upper-cases methods
and writes URLs anew; none of that may happen at a door. Here `request` is replaced, and the rest of treq's API works.
"""

import json
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer

from edge.backends.agent import UpstreamAgent, plain
from edge.backends.answer import Answer
from edge.backends.errand import DEFAULT_TIMEOUTS, Inform, Timeouts
from edge.backends.rawheaders import RawHeaders
from edge.backends.target import UpstreamURL
from edge.backends.tunnel import Switched
from edge.core.batch import Batch

_METHODS = {name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_IGNORED = frozenset(("_stacklevel", "reactor", "unbuffered", "allow_redirects", "browser_like_redirects"))
"""What callers of treq pass that means nothing here: nothing is buffered, and no redirect is followed."""


class UpstreamClient(HTTPClient):
    """treq's client over our agent. `url` is an UpstreamURL, or text; `headers` are a Batch, Headers or a dict.

    `data` is bytes, or an IBodyProducer whose `length` is a number or UNKNOWN_LENGTH (then it goes up chunked); it
    may be left unfinished when the answer is complete before it.
    """

    _agent: UpstreamAgent

    def __init__(self, agent: UpstreamAgent) -> None:
        super().__init__(agent)

    def close(self) -> "Deferred[None]":
        """Closes every connection at once; the Deferred fires when the last one is gone."""
        return self._agent.close()

    def request(  # type: ignore[override]
        self,
        method: str,
        url: Any,
        *,
        headers: Any = None,
        data: bytes | IBodyProducer | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        on_inform: Inform | None = None,
        **others: Any,
    ) -> Deferred[Answer]:
        """The Deferred has the Answer once its head is there; see `UpstreamAgent.send` for how it fails.

        Of treq's other arguments `json` works, and those that nothing needs here are let pass; others raise TypeError.
        """
        if others:
            headers, data = self._prepared(headers, data, others)
        verb = _METHODS.get(method) or method.encode("ascii")
        if type(url) is not UpstreamURL:
            url = self._agent.located(url if isinstance(url, bytes) else str(url).encode("ascii"))
        pairs = headers if type(headers) is Batch else plain(self._request_headers(headers, 2))
        return self._agent.send(verb, url, pairs, data, timeouts, on_inform)

    def _prepared(self, headers: Any, data: Any, others: dict[str, Any]) -> tuple[Headers, Any]:
        """The headers and the body that treq's arguments ask for."""
        unknown = [name for name in others if name not in _IGNORED and name != "json"]
        if unknown:
            raise TypeError(f"not offered towards upstreams: {', '.join(unknown)}")
        if "json" not in others:
            return headers, data
        if data is not None:
            raise TypeError("json and data exclude each other")
        made = self._request_headers(headers, 2).copy()
        made.setRawHeaders(b"Content-Type", [b"application/json"])
        return made, json.dumps(others["json"], separators=(",", ":")).encode("utf-8")

    def open_upgrade(
        self,
        url: UpstreamURL,
        protocol: bytes,
        *,
        headers: RawHeaders,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        on_inform: Inform | None = None,
    ) -> "Deferred[Switched | Answer]":
        """Asks to switch to `protocol`; see `UpstreamAgent.upgrade`."""
        return self._agent.upgrade(protocol, url, headers.pairs, timeouts, on_inform)
