"""Values that every request makes: frozen for whoever type-checks, plain where they run.

`attrs.frozen` writes each field through `object.__setattr__`, a microsecond for a value of ten fields, and a request makes
ten such values. mypy refuses a change all the same.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    from functools import partial

    from attrs import define

    value = partial(define, unsafe_hash=True)

__all__ = ["value"]
