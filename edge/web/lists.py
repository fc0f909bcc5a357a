"""Lists of models, held to be cut to what a key may use."""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from edge.core.headers import Pair
from edge.core.keys import Key
from edge.core.refusal import Refusal
from edge.wire.body import BodyTooLargeError
from edge.wire.request import Request

LIST_SIZE: Final = 4 * 1024 * 1024
"""The largest list that is held."""
NOT_ASKED: Final = frozenset({b"accept-encoding", b"range", b"if-range", b"if-match", b"if-none-match"}) | {
    b"if-modified-since",
    b"if-unmodified-since",
}
"""What is not sent on with the question: a packed list, a part of one or one that is only said to be unchanged could not be cut."""
_OF_THE_WHOLE: Final = frozenset({b"etag", b"last-modified", b"content-md5", b"digest", b"accept-ranges"}) | {
    b"content-range",
    b"content-digest",
    b"repr-digest",
}
"""What an answer says of a list that is another one once it is cut."""

TOO_LARGE: Final = Refusal(
    "upstream-broken", f"The service's list of models is larger than {LIST_SIZE} bytes.", retry=False
)

Cut = Callable[[bytes, str, Key], bytes]


class Collected:
    """Takes the body of an answer that is small by its nature; `done` fails with BodyTooLargeError where it is not."""

    def __init__(self, most: int) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._most = most
        self._parts: list[bytes] = []
        self._transport: Any = None
        self._over = False

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport

    def cancel(self, reason: Failure) -> None:
        """Calls it off; `done` fails as the answer's end does."""
        if self._transport is not None:
            self._transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._parts.append(data)
        self._most -= len(data)
        if self._most < 0:
            self._over = True
            self._parts.clear()
            self._transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        if self._over:
            self.done.errback(BodyTooLargeError())
        elif reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)


async def cut_list(
    request: Request,
    answer: Any,
    pairs: list[Pair],
    cut: Cut,
    refusal_of: Callable[[Failure], Refusal | None],
) -> Refusal | None:
    """Answers with those of an answer's models that the key may use; the Refusal where the list cannot be had or cut.

    `pairs` is the head as it would be sent back, `answer` is `edge.web.forward.Answer`.
    """
    held = Collected(LIST_SIZE)
    request.gone = held.cancel
    answer.deliverBody(held)
    try:
        whole = await held.done
    except BodyTooLargeError:
        return TOO_LARGE
    except Exception:
        return refusal_of(Failure()) or Refusal("upstream-broken", "The service broke off in the middle of its answer.")
    request.gone = None
    return give_list(request, answer.code, pairs, answer.phrase, whole, cut)


def give_list(
    request: Request, status: int, pairs: list[Pair], phrase: bytes, whole: bytes, cut: Cut
) -> Refusal | None:
    """Answers with those models of a `whole` list that the key may use; the Refusal where it cannot be cut."""
    caller = request.exchange.caller
    assert caller is not None
    lows = [name.lower() for name, _ in pairs]
    if b"content-encoding" in lows and whole:
        return Refusal(
            "upstream-broken", "The service packs its list of models though nobody asked it to.", retry=False
        )
    kept = [pair for pair, low in zip(pairs, lows, strict=True) if low not in _OF_THE_WHOLE]
    data = b"" if request.verb == "HEAD" else cut(whole, request.rule.models, caller.key)
    length = None if request.verb == "HEAD" else len(data)
    request.begin(status, kept, length, data, True, phrase)
    return None
