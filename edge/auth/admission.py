"""Admission: who asks, and may they. The order of the questions is the promise.

1. No value that may be a key: 401 `no-key`.
2. Every value is looked up. Two different known keys, or more than three values: 400 `two-keys`.
3. No known key: it counts against the address; 401 `unknown-key`, or 429 `locked-out` where there were too many.
4. The one known key is judged by its rules (`edge.core.rules`).

A valid key is let in from a locked-out address too. Whatever goes wrong on the way refuses with 503 `store-unavailable`.
"""

from collections.abc import Callable
from typing import ClassVar

from attrs import frozen
from twisted.logger import Logger

from edge.auth.apikey import credentials, too_many
from edge.auth.tickets import Tickets
from edge.core.attempts import Attempt
from edge.core.exchange import Caller, Exchange
from edge.core.keys import Key
from edge.core.lockouts import Lockouts
from edge.core.refusal import Refusal
from edge.core.rules import judge
from edge.core.service import Rule
from edge.errors import StoreError
from edge.interfaces import IAttemptSink, IKeyStore

NO_KEY = Refusal(
    "no-key",
    "This gate needs a key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
    retry=False,
)
UNKNOWN = Refusal("unknown-key", "This key is not known here.", retry=False)
BAD_TICKET = Refusal("unknown-key", "This ticket is unknown, used, too old or for another service.", retry=False)
TWO_KEYS = Refusal("two-keys", "The request shows two different keys.", retry=False)
DOUBT = Refusal("store-unavailable", "Keys cannot be checked at the moment.", retry_after=5.0)


@frozen(eq=False)
class Admission:
    """Judges requests on their heads alone. Nothing here waits or raises."""

    store: IKeyStore
    lockouts: Lockouts
    sink: IAttemptSink
    tickets: Tickets
    refuses: Callable[[], bool] = lambda: False
    """Whether nobody may be let in now: an audit log that cannot be written, where the operator wants none without."""
    log: ClassVar[Logger] = Logger()

    def admit(self, exchange: Exchange, rule: Rule, now: float) -> Caller | Refusal:
        """Let in a request that shows a key in its head. `now` is in Unix seconds.

        `exchange.route.service` names the service, "" or no route for the gate's own resources, which any valid key with
        the rule's scope may use.
        """
        return self._admit(exchange, rule, None, now)

    def admit_ticket(self, exchange: Exchange, rule: Rule, ticket: str, now: float) -> Caller | Refusal:
        """Let in a request that shows a ticket, which is used up by it; its key is judged again."""
        return self._admit(exchange, rule, ticket, now)

    def _admit(self, exchange: Exchange, rule: Rule, ticket: str | None, now: float) -> Caller | Refusal:
        key: Key | None = None
        answer: Caller | Refusal
        try:
            if self.refuses():
                answer = DOUBT
            else:
                answer = self._by_key(exchange) if ticket is None else self._by_ticket(exchange, ticket)
                if isinstance(answer, Caller):
                    key = answer.key
                    answer = judge(key, exchange, rule, now) or answer
        except StoreError:
            # The store has said in the log what is wrong; a line for every request would bury it.
            key, answer = None, DOUBT
        except Exception:
            # Closed on doubt; the traceback holds no secret, since Twisted's failures print no local variables.
            self.log.failure("A request could not be judged and was refused")
            key, answer = None, DOUBT
        self._record(exchange, key, answer, now)
        return answer

    def _by_key(self, exchange: Exchange) -> Caller | Refusal:
        """Whose key the head shows, not judged yet."""
        fields = exchange.arrival.fields
        epoch = self.store.epoch
        noted = fields.notes.get(self)
        if noted is not None and noted[0] is epoch:
            # The same head on the same connection, and no key has changed since.
            caller: Caller = noted[1]
            return caller
        shown = credentials(fields)
        if not shown:
            return NO_KEY
        find = self.store.find
        if len(shown) == 1:
            key = find(shown[0])
            if key is None:
                return self._bad(exchange, UNKNOWN)
            caller = Caller(key)
            if epoch is not None:
                fields.notes[self] = (epoch, caller)
            return caller
        known = {key.id: key for secret in shown if (key := find(secret)) is not None}
        if len(known) == 1 and (len(shown) < 3 or too_many(fields) is None):
            (key,) = known.values()
            return Caller(key)
        if known:
            return TWO_KEYS
        return self._bad(exchange, UNKNOWN)

    def _by_ticket(self, exchange: Exchange, ticket: str) -> Caller | Refusal:
        """Who fetched a ticket, which is used up, not judged yet."""
        key_id = self.tickets.redeem(ticket, exchange.route.service if exchange.route else "")
        key = None if key_id is None else self.store.get(key_id)
        return self._bad(exchange, BAD_TICKET) if key is None else Caller(key, "ticket")

    def _bad(self, exchange: Exchange, refusal: Refusal) -> Refusal:
        arrival = exchange.arrival
        locked = self.lockouts.locked(arrival.client, arrival.started)
        if not locked:
            self.lockouts.failed(arrival.client, arrival.started)
            return refusal
        return Refusal(
            "locked-out", "Too many bad keys from your address; a valid key still works.", retry_after=locked
        )

    def _record(self, exchange: Exchange, key: Key | None, answer: Caller | Refusal, now: float) -> None:
        arrival, route = exchange.arrival, exchange.route
        refused = isinstance(answer, Refusal)
        try:
            self.sink.attempt(
                Attempt(
                    now,
                    arrival.id,
                    arrival.client,
                    key.id if key else "",
                    key.user if key else "",
                    route.service if route else "",
                    not refused,
                    answer.reason if isinstance(answer, Refusal) else "",
                )
            )
        except Exception:
            self.log.failure("An attempt could not be put on record")
