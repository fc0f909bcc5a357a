"""Header fields in wire order and case, behind twisted.web's `Headers`: its dict is built only for who reads it."""

from collections.abc import Sequence
from typing import AnyStr

from twisted.web.http_headers import Headers

from edge.core.batch import Batch
from edge.core.headers import Pair


class RawHeaders(Headers):
    """`pairs` are (name, value) bytes, without Host (unless it differs from the target's) and without framing fields."""

    __slots__ = ("_built", "_pairs")

    def __init__(self, pairs: Sequence[Pair] | Batch = ()) -> None:
        self._pairs: Sequence[Pair] | Batch | None = pairs
        self._built: dict[bytes, list[bytes]] | None = None

    @property
    def pairs(self) -> Sequence[Pair] | Batch:
        """The fields as given; once they were changed through `Headers`' methods, as `Headers` orders them."""
        if self._pairs is None:
            self._pairs = [(name, value) for name, values in self.getAllRawHeaders() for value in values]
        return self._pairs

    @property
    def _rawHeaders(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        if self._built is None:
            built = Headers()
            for name, value in self._pairs or ():
                built.addRawHeader(name, value)
            self._built = built._rawHeaders
        return self._built

    def _changing(self) -> None:
        _ = self._rawHeaders
        self._pairs = None

    def addRawHeader(self, name: str | bytes, value: str | bytes) -> None:
        self._changing()
        super().addRawHeader(name, value)

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        self._changing()
        super().setRawHeaders(name, values)

    def removeHeader(self, name: AnyStr) -> None:
        self._changing()
        super().removeHeader(name)

    def copy(self) -> "RawHeaders":
        return RawHeaders(list(self.pairs))
