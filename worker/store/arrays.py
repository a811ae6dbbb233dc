"""Columns of a batch written as Postgres array literals: one text a column, joined at the speed of C.

The driver escapes a list of text element by element in Python; of a batch of five hundred that was a third of all work.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import repeat
from operator import is_
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import JSON, Boolean, Date, Integer, LargeBinary, Numeric
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine, UserDefinedType

from worker.store.columns import Instant

_plainly = json.JSONEncoder(separators=(",", ":")).encode


def encode(value: Any) -> str:
    """The JSON text of a value, without spaces."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        # half a surrogate pair, as names of files may have: only ASCII can say that
        return _plainly(value)


class Written(str):
    """A document that is JSON text already."""

    __slots__ = ()


class ArrayOf(UserDefinedType[str]):
    """A parameter that travels as the array literal of a type. The server reads it as that array: with another cast around
    it no index would be used.
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        self.item = item

    def get_col_spec(self, **_: Any) -> str:
        """The name of the type in SQL."""
        return f"{self.item.compile(dialect=_POSTGRES)}[]"


_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


def document(value: Any) -> str | None:
    """The JSON text of a document; None for none."""
    if value is None or isinstance(value, Written):
        return value
    return encode(value)


def literal(values: Sequence[Any], kind: Any) -> str:
    """The array literal of these values as a column of this type holds them; None is NULL. Of documents it is a JSON array.

    Raises `ValueError` for a time without a zone.
    """
    if isinstance(kind, JSON):
        return "[" + ",".join(document(value) or "null" for value in values) + "]"
    if len(values) > 1 and all(map(is_, values, repeat(values[0]))):
        # most columns of a batch hold one and the same thing
        return "{" + ",".join(repeat(literal(values[:1], kind)[1:-1], len(values))) + "}"
    if isinstance(kind, Instant):
        return _plain(_instants(values))
    if isinstance(kind, Integer | Numeric | Date | Boolean):
        return _plain([None if value is None else str(value) for value in values])
    if isinstance(kind, LargeBinary):
        return _texts([None if value is None else rf"\x{value.hex()}" for value in values])
    return _texts(values)


def _plain(words: Iterable[str | None]) -> str:
    return "{" + ",".join(["NULL" if word is None else word for word in words]) + "}"


def _instants(values: Iterable[datetime | None]) -> list[str | None]:
    return [None if value is None else _instant(value) for value in values]


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"a time without a zone may not be stored: {value!r}")
    return value.isoformat()


def _texts(values: Sequence[str | None]) -> str:
    if None in values:
        return _plain([None if value is None else f'"{_escaped(value)}"' for value in values])
    whole = '","'.join(values)  # type: ignore[arg-type]
    if "\\" in whole or whole.count('"') != 2 * (len(values) - 1):
        whole = '","'.join(map(_escaped, values))  # type: ignore[arg-type]
    return f'{{"{whole}"}}' if values else "{}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
