"""The kinds of field our documents are made of: what each may hold, and how to say it when it holds something else.

Limits are typed per field (failure-modes.md P2), identities cannot climb out of a URL path (TM19) and are compared byte for
byte, never normalised (TM6). Whole numbers are JSON integers: no booleans, no `5.0`, no `"5"`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from policy.codes import failure_code
from policy.facts import AccountStatus, Billing, PaidWith, PurchaseKind
from worker.strict import Malformed, Reason, shown

MAX_PROBLEMS = 5
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ][0-2]\d:\d\d:\d\d(?:\.\d{1,30})?(?:[Zz]|[+-]\d\d:\d\d)")
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Check = Callable[[object], Any]


def _matching(pattern: str, longest: int = 256) -> Check:
    whole = re.compile(pattern).fullmatch

    def check(value: object) -> str:
        if isinstance(value, str) and len(value) <= longest and whole(value):
            return value
        raise ValueError

    return check


def _instant(value: object) -> datetime:
    # RFC 3339 first: `fromisoformat` alone also takes week dates, and times without a zone
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError from None
    # outside these years a deadline computed from the time could overflow far away from here
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError
    return moment


def _text(longest: int) -> Check:
    def clean(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        # one NUL or lone surrogate and no database takes the row, ever (failure-modes.md 1c)
        return _UNSTORABLE.sub("\ufffd", value[:longest])

    return clean


def _code(value: object) -> str:
    code = failure_code(value) if isinstance(value, str) else ""
    if not code:
        raise ValueError
    return code


def _field(check: Check, right: str) -> Any:
    return PlainValidator(check), Field(description=right)


ID = "1 to 128 of A-Z a-z 0-9 _ . : - (and not . or .. alone)"
Id = Annotated[str, *_field(_matching(r"(?!\.{1,2}\Z)[A-Za-z0-9_.:-]{1,128}"), ID)]
Name = Annotated[str, *_field(_matching(rf"[^{_CONTROL}]{{1,256}}"), "1 to 256 characters without control characters")]
Code = Annotated[str, *_field(_code, "a text that is not blank")]
Email = Annotated[
    str, *_field(_matching(rf"[^@\s{_CONTROL}]+@[^@\s{_CONTROL}]+", 254), "an address of at most 254 characters with one @")
]
Instant = Annotated[datetime, *_field(_instant, "an RFC 3339 time with its zone, like 2026-03-02T10:15:00Z, from 2000 to 2199")]
Message = Annotated[str, *_field(_text(300), "a text")]
Stage = Annotated[str, *_field(_text(64), "a text")]
Currency = Annotated[str, *_field(_matching(r"[A-Z]{3}"), "a currency of three capital letters, like USD")]
Credits = Annotated[int, Field(ge=0, le=1_000_000, description="a whole number from 0 to 1,000,000")]
Layers = Annotated[int, Field(ge=0, le=100_000, description="a whole number from 0 to 100,000")]
Attempt = Annotated[int, Field(ge=1, le=1_000, description="a whole number from 1 to 1,000")]
Amount = Annotated[int, Field(ge=0, le=10**12, description="an amount in minor units, a whole number from 0 to 10^12")]
Count = Annotated[int, Field(ge=0, le=10**9, description="a whole number from 0 to 10^9")]
# strict models take only members of an enum; from JSON comes its value
Payment = Annotated[PaidWith, Field(strict=False, description="one of credits, pass, free")]
Standing = Annotated[AccountStatus, Field(strict=False, description="one of active, suspended, deleted")]
Bought = Annotated[PurchaseKind, Field(strict=False, description="one of credit_pack, pass_24h, subscription")]
Billed = Annotated[Billing, Field(strict=False, description="one of first, renewal")]


class Model(BaseModel):
    """A part of a document: exact types, unknown fields ignored so that a newer producer is understood."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


M = TypeVar("M", bound=Model)
Problem = tuple[Reason, str]


def read(model: type[M], document: object, at: str, problems: list[Problem]) -> M | None:
    """The document as `model`; or None, and each fault appended to `problems` with its path below `at`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            path = ".".join(str(step) for step in (at, *fault["loc"]) if step != "")
            right = _right(model, fault["loc"])
            if fault["type"] == "missing":
                problems.append(("missing_field", f"{path} is missing; expected {right}"))
            else:
                problems.append(("bad_value", f"{path} is {shown(fault['input'])}; expected {right}"))
    return None


def _right(model: type[Model], loc: tuple[int | str, ...]) -> str:
    # the description of the field that the location ends in; an object where it names none
    right = "an object"
    part: type[Model] | None = model
    for step in loc:
        field = part.model_fields.get(str(step)) if part is not None else None
        if field is None:
            break
        inner = [kind for kind in (field.annotation, *_members(field.annotation)) if isinstance(kind, type)]
        part = next((kind for kind in inner if issubclass(kind, Model)), None)
        right = field.description or _described(field.annotation) or "an object"
    return right


def _members(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _described(annotation: Any) -> str | None:
    # `X | None`: the description stands inside the union
    for member in _members(annotation):
        for extra in getattr(member, "__metadata__", ()):
            if getattr(extra, "description", None):
                return str(extra.description)
    return None


_WORST_FIRST: tuple[Reason, ...] = ("wrong_version", "unknown_type", "missing_field", "bad_value", "from_the_future")


def malformed(problems: list[Problem]) -> Malformed:
    """One error for all the problems of a document: the gravest gives the reason, the first five are told."""
    ranked = sorted(problems, key=lambda problem: _WORST_FIRST.index(problem[0]))
    told = "; ".join(sentence for _, sentence in ranked[:MAX_PROBLEMS])
    more = len(ranked) - MAX_PROBLEMS
    return Malformed(ranked[0][0], told if more <= 0 else f"{told}; and {more} more")
