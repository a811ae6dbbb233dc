"""Reads terms files. Every fault found is reported at once, by file and key, with what was expected."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from policy.terms import Editions, FaultClass, Terms, TermsError
from policy.terms_keys import CLASSES, KEYS, Key, is_codes, is_date

LONGEST_SHOWN = 1000


def load_terms(path: Path) -> Terms:
    """The edition in one file. Raises `TermsError` with every fault found, `OSError` where the file cannot be read."""
    reading = _Reading(path)
    terms = reading.terms()
    if terms is None:
        raise TermsError(*reading.faults)
    return terms


def load_editions(directory: Path) -> Editions:
    """Every edition in a directory (`*.toml`), oldest first.

    Raises `TermsError` with the faults of all its files, or where it holds none.
    """
    readings = [_Reading(path) for path in sorted(directory.glob("*.toml"))]
    editions = [reading.terms() for reading in readings]
    faults = [fault for reading in readings for fault in reading.faults]
    if not readings:
        faults.append(f"{directory}: no terms here; expected at least one file like 2025-12-03.toml")
    if faults:
        raise TermsError(*faults)
    return Editions(tuple(sorted((terms for terms in editions if terms), key=lambda terms: terms.edition)))


@dataclass
class _Reading:
    """One file being read, and the faults found so far."""

    path: Path
    faults: list[str] = field(default_factory=list)

    def terms(self) -> Terms | None:
        """The edition, or None where a fault was found."""
        content = self.path.read_bytes()
        values = self._parsed(content)
        if values is None:
            return None
        self._check_keys(values)
        self._check_edition(values.get("edition"))
        self._check_zone(values.get("zone"))
        self._check_money(values.get("money_per_hour_minor_units"), values.get("money_per_day_minor_units"))
        self._check_faults(values.get("faults"), {name: values.get(name) for name in ("rerunnable_codes", "content_codes")})
        return None if self.faults else _terms(values, sha256(content).hexdigest())

    def _fault(self, key: str, there: str, right: str) -> None:
        self.faults.append(f"{self.path}: {key}: {there}; expected {right}")

    def _parsed(self, content: bytes) -> dict[str, Any] | None:
        try:
            return tomllib.loads(content.decode())
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            self.faults.append(f"{self.path}: not UTF-8 text (at line {line}); expected a TOML document")
        except (ValueError, RecursionError) as error:
            # not TOMLDecodeError alone: a number of five thousand digits and a thousand brackets come as these
            self.faults.append(f"{self.path}: not TOML: {_plain(str(error))}; expected a TOML document")
        return None

    def _check_keys(self, values: dict[str, Any]) -> None:
        self._check_names("", values, [key.name for key in KEYS])
        for key in KEYS:
            self._check_value(key, values)

    def _check_value(self, key: Key, values: dict[str, Any]) -> None:
        if key.name not in values:
            if not key.optional:
                self._fault(key.name, "missing", key.right)
        elif not key.accepts(values[key.name]):
            self._fault(key.name, f"{_shown(values[key.name])} is there", key.right)

    def _check_names(self, prefix: str, names: Iterable[str], known: list[str]) -> None:
        for name in names:
            if name not in known:
                self._fault(prefix + _plain(name), "no such key", _nearest(name, known) or f"one of {', '.join(known)}")

    def _check_money(self, hour: object, day: object) -> None:
        if isinstance(hour, int) and isinstance(day, int) and day < hour:
            self._fault("money_per_day_minor_units", f"{day} is less than the {hour} of one hour", f"at least {hour}")

    def _check_edition(self, edition: object) -> None:
        if is_date(edition) and edition != self.path.stem:
            self._fault("edition", f"{edition!r} is not the file's name", f"{self.path.stem!r}, or a file named {edition}.toml")

    def _check_zone(self, zone: object) -> None:
        if isinstance(zone, str) and not _is_zone(zone):
            nearest = _nearest(zone, sorted(available_timezones()))
            self._fault("zone", f"{zone!r} is no time zone", nearest or "a name of the tz database like 'Etc/GMT+12'")

    def _check_faults(self, table: object, lists: dict[str, object]) -> None:
        if not isinstance(table, dict):
            return
        self._check_names("faults.", table, [fault.value for fault in CLASSES])
        for key in CLASSES.values():
            self._check_value(key, {f"faults.{name}": codes for name, codes in table.items()})
        listed = {FaultClass(key): codes for key, codes in table.items() if _is_class(key) and is_codes(codes)}
        self._check_listed_once(listed)
        of_the_system = [code for fault, codes in listed.items() if fault.of_the_system for code in codes]
        for name, codes in lists.items():
            if is_codes(codes):
                self._check_of_the_system(name, codes, of_the_system)

    def _check_listed_once(self, listed: dict[FaultClass, list[str]]) -> None:
        first: dict[str, FaultClass] = {}
        for fault, code in _pairs(listed):
            if code in first:
                self._fault(f"faults.{fault}", f"{code!r} is already listed under {first[code]}", "one class for each code")
            first.setdefault(code, fault)

    def _check_of_the_system(self, name: str, codes: list[str], of_the_system: list[str]) -> None:
        for code in codes:
            if code not in of_the_system:
                right = _nearest(code, of_the_system) or "a code of class server, capacity, timeout or output"
                self._fault(name, f"{code!r} is no code of a fault of the system", right)


def _terms(values: dict[str, Any], digest: str) -> Terms:
    flat: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    faults = {fault: tuple(values["faults"][fault]) for fault in CLASSES}
    return Terms(**flat | {"zone": ZoneInfo(values["zone"]), "faults": faults, "digest": digest})


def _plain(text: str) -> str:
    """One short line that a terminal does not obey."""
    line = text if text.isprintable() else ascii(text)[1:-1]
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"


def _shown(value: object) -> str:
    try:
        return _plain(repr(value))
    except (ValueError, RecursionError):
        return "a value too large to show"


def _nearest(name: str, known: list[str]) -> str | None:
    return next((repr(match) for match in get_close_matches(name, known, n=1)), None)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError, RecursionError):
        return False
    return True


def _is_class(name: str) -> bool:
    return name in {fault.value for fault in CLASSES}


def _pairs(listed: dict[FaultClass, list[str]]) -> Iterator[tuple[FaultClass, str]]:
    return ((fault, code) for fault, codes in listed.items() for code in codes)
