"""One line that puts a resource behind the gate's own admission.

    @requires(service="chat")
    class Summary(Resource):
        ...

The mark is data: the guard reads it with `required` and asks the same admission as for any service. A resource
without a mark is not open, it has the gate's strictest rule.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import frozen

from edge.core.service import ANY_METHOD, Rule

MARK: Final = "__aigate_rule__"
_SERVICE: Final = "__aigate_service__"
Marked = TypeVar("Marked", bound=Any)


@frozen
class Required:
    """What a resource asks of a key: `service` "" takes any valid key."""

    rule: Rule
    service: str = ""


NOBODY: Final = Required(Rule(ANY_METHOD, "*", scope="never"))
"""What an unmarked resource asks for."""


def requires(*, service: str = "", scope: str = "") -> Callable[[Marked], Marked]:
    """Mark a resource, or a class of resources: any valid key, or one for `service`, or one that holds `scope`.

    A class's mark holds for its subclasses until they have their own.
    """

    def mark(resource: Marked) -> Marked:
        setattr(resource, MARK, Rule(ANY_METHOD, "*", scope=scope))
        setattr(resource, _SERVICE, service)
        return resource

    return mark


def required(resource: object) -> Required:
    """What a resource asks for; NOBODY gets into one that says nothing."""
    rule = getattr(resource, MARK, None)
    return Required(rule, str(getattr(resource, _SERVICE, ""))) if isinstance(rule, Rule) else NOBODY
