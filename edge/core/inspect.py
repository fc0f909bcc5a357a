"""Judged fields of a request, read strictly: what the service behind might read otherwise is refused.

A rule on the model is worth nothing when the gate sees one model and the service another. So a judged field that is
doubled, differs only in case (Go reads `Model` as `model`), has the wrong type, or hides in a content encoding, another
character set or a malformed form is `ambiguous-body`. Fields that nobody judges are left alone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_plus

from edge.core.multipart import MultipartError, parts
from edge.core.refusal import Refusal
from edge.core.routing import forms

MOST_VALUES: Final = 200_000
"""The most members and elements of a JSON body: reading more would hold up everybody else's streams, and take 100 MB."""
LONGEST_NAME: Final = 500
"""The most characters of a model's name."""

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STRUCTURE: Final = re.compile(rb"[,{\[]")
_FORM: Final = b"application/x-www-form-urlencoded"
_MULTIPART: Final = b"multipart/form-data"
_UTF8: Final = frozenset({b"utf-8", b"utf8", b"us-ascii"})


_NO_TEXT: Final = "\ud800"
"""Stands for what is no text, a file or bytes outside UTF-8: no judged field may be it, and no body can spell it."""


class _Pairs(tuple[tuple[str, Any], ...]):
    """The members of a JSON object as they came, doubled ones included."""

    __slots__ = ()


class _Ambiguous(Exception):
    pass


def judged(
    body: bytes, content_type: bytes | None, names: Sequence[str], encoding: bytes | None = None
) -> dict[str, Any] | Refusal:
    """Name → value of those of `names` that the body gives; the refusal where a strict reading is not possible.

    A dotted name (`options.num_predict`) looks inside an object. Values of JSON have JSON's types, objects as dicts;
    those of a form or of multipart are str. A part with a file is never a value. An empty body gives nothing.
    `content_type` and `encoding` are the header fields of these names, None where they are missing; several lines of one
    are given joined by commas, and refused.
    """
    try:
        if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
            raise _Ambiguous("it has a content encoding")
        if not body:
            return {}
        if content_type is not None:
            kind = content_type.partition(b";")[0].strip().lower()
            if kind == _MULTIPART:
                return _from_texts(_fields_of_parts(body, content_type), names)
            _plainly_typed(content_type)
            if kind == _FORM:
                return _from_texts(_fields_of_form(body), names)
        # Several services read JSON whatever the content type says, so the gate does too.
        return _from_json(_parse(body), names)
    except (_Ambiguous, MultipartError) as error:
        return Refusal(
            "ambiguous-body", f"This key's rules need a body that can be read in one way only: {error}.", retry=False
        )


def model_of(
    body: bytes, content_type: bytes | None, where: str, encoding: bytes | None = None
) -> str | Refusal | None:
    """The model that a body asks for: `where` is `json:model` or `form:model`. None where it names none."""
    kind, _, name = where.partition(":")
    found = judged(body, content_type, (name,), encoding)
    if isinstance(found, Refusal):
        return found
    is_form = (content_type or b"").partition(b";")[0].strip().lower() in (_FORM, _MULTIPART)
    if body and is_form != (kind == "form"):
        # The service may parse by its own habit and not by the label; then the two readings part.
        return _refusal("its content type is not the one that this path takes")
    return _model(found.get(name), name in found)


def models_in_head(path: bytes, query: bytes | None, where: str) -> tuple[str | None, ...] | Refusal:
    """The model that a request names in its mapped path (`path:3`: the rest from the third segment on) or query (`query:model`).

    A path that can be read in two ways may name two, the one that it spells first; None where it names none.
    """
    kind, _, name = where.partition(":")
    if kind == "path":
        judged = forms(path)
        if isinstance(judged, Refusal):
            return judged
        named = ["/".join(form.split("/")[int(name) :]) for form in judged]
        found = [_model(rest, True) if rest else None for rest in named]
    else:
        try:
            texts = _from_texts(_fields_of_form(query or b""), (name,))
        except _Ambiguous as error:
            return _refusal(str(error))
        found = [_model(texts.get(name), name in texts)]
    models: list[str | None] = []
    for model in found:
        if isinstance(model, Refusal):
            return model
        models.append(model)
    return tuple(models)


def _refusal(words: str) -> Refusal:
    return Refusal(
        "ambiguous-body", f"This key's rules need a request that can be read in one way only: {words}.", retry=False
    )


def _model(value: object, said: bool) -> str | Refusal | None:
    if not said:
        return None
    if not isinstance(value, str):
        return _refusal("the model is not a text")
    if len(value) > LONGEST_NAME or not value.isprintable() or value != value.strip():
        return _refusal("the model's name has odd characters or is too long")
    return value or None


def _plainly_typed(content_type: bytes) -> None:
    """Refuses several types at once, of which a service may take any, and every character set but UTF-8."""
    if b"," in content_type:
        raise _Ambiguous("it has more than one content type")
    for parameter in content_type.split(b";")[1:]:
        name, _, value = parameter.partition(b"=")
        # `charset*` and `charset*0` are the same parameter to some (RFC 2231).
        if name.partition(b"*")[0].strip().lower() == b"charset" and value.strip(b' "').lower() not in _UTF8:
            raise _Ambiguous("it is not in UTF-8")


def _parse(body: bytes) -> Any:
    # Cheap first: most bodies have fewer bytes, or fewer commas in all, and only the others are looked at without their texts.
    if (
        len(body) > MOST_VALUES
        and body.count(b",") + body.count(b"{") + body.count(b"[") > MOST_VALUES
        and sum(1 for _ in _STRUCTURE.finditer(_STRING.sub(b'""', body))) > MOST_VALUES
    ):
        raise _Ambiguous(f"it has more than {MOST_VALUES} values")
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise _Ambiguous("it is not in UTF-8") from None
    except (ValueError, RecursionError):
        raise _Ambiguous("it is not JSON, or nested too deep") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_no_constant)


def _from_json(read: Any, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(read, _Pairs):
        raise _Ambiguous("it is not a JSON object")
    found: dict[str, Any] = {}
    heads, folded = _heads(tuple(names))
    for head, value in _once(read, folded).items():
        for rest in heads[head]:
            if not rest:
                found[head] = _plain(value)
            elif isinstance(value, _Pairs):
                found |= {f"{head}.{inner}": each for inner, each in _from_json(value, (rest,)).items()}
            elif value is not None:
                raise _Ambiguous(f"{head!r} is not an object")
    return found


@lru_cache(maxsize=256)
def _heads(names: tuple[str, ...]) -> tuple[Mapping[str, Sequence[str]], Mapping[str, str]]:
    """What stands before the first dot of each name, with all that stands behind it; and the former by its folded case."""
    heads: dict[str, list[str]] = {}
    for name in names:
        head, _, rest = name.partition(".")
        heads.setdefault(head, []).append(rest)
    return heads, {head.casefold(): head for head in heads}


def _once(pairs: Sequence[tuple[str, Any]], folded: Mapping[str, str]) -> dict[str, Any]:
    """The members named in `folded`, by their folded case, each there at most once and in its very spelling."""
    found: dict[str, Any] = {}
    for spelt, value in pairs:
        name = folded.get(spelt.casefold())
        if name is None:
            continue
        if spelt != name:
            raise _Ambiguous(f"it spells {name!r} otherwise")
        if name in found:
            raise _Ambiguous(f"it names {name!r} twice")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _Ambiguous(f"{name!r} is no text of Unicode") from None
        found[name] = value
    return found


def _plain(value: Any) -> Any:
    """A value with its objects as dicts, the last of doubled members counting: for judges that look no deeper than its type."""
    if isinstance(value, _Pairs):
        return {name: _plain(each) for name, each in value}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _from_texts(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[str, Any]:
    return _once(pairs, {name.casefold(): name for name in names})


def _fields_of_form(body: bytes) -> list[tuple[str, str]]:
    pairs = []
    for piece in body.split(b"&"):
        if not piece:
            continue
        if b";" in piece:
            # Some readers part fields at a semicolon too.
            raise _Ambiguous("it has a semicolon between fields")
        name, _, value = piece.partition(b"=")
        try:
            pairs.append(
                (
                    unquote_plus(name.decode("ascii"), errors="strict"),
                    unquote_plus(value.decode("ascii"), errors="strict"),
                )
            )
        except UnicodeDecodeError:
            raise _Ambiguous("it is not in UTF-8") from None
        if len(pairs) > 1000:
            raise _Ambiguous("it has too many fields")
    return pairs


def _fields_of_parts(body: bytes, content_type: bytes) -> list[tuple[str, str]]:
    fields = []
    for part in parts(body, content_type):
        if part.is_file:
            # Its name counts, so that a judged field cannot hide as a file.
            fields.append((part.name, _NO_TEXT))
            continue
        try:
            fields.append((part.name, bytes(part.content).decode("utf-8")))
        except UnicodeDecodeError:
            fields.append((part.name, _NO_TEXT))
    return fields
