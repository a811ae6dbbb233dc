"""A short run of every fuzzer with a fixed seed, what fuzzers once found, and the fuzzer found out."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.changes import by_bytes
from tests.fuzz.kept import keep, kept
from tests.fuzz.parser import Parser, feed, fuzz, pure
from tests.fuzz.targets import TARGETS, named, quiet

RUNS = {
    "mail": 60,
    "stream-entry": 60,
    "signed-entry": 60,
    "webhook-route": 50,
    "console": 50,
    "import-file": 30,
    "emit-file": 25,
}
"""Of the slow ones; the others get a thousand."""
SEED = 5


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> None:
    quiet()


@pytest.mark.parametrize("target", [parser.name for parser in TARGETS])
def test_whatever_comes_is_taken_or_clearly_refused(target: str, tmp_path: Path) -> None:
    done = fuzz(named(target), tmp_path, seed=SEED, runs=RUNS.get(target, 250), tell=lambda _: None)
    assert not done.faults, f"input {done.runs} of seed {SEED}: {done.faults}; it is in {keep(target, done.found, tmp_path)}"
    assert done.runs >= RUNS.get(target, 250)


@pytest.mark.parametrize("target", sorted({target for target, _ in kept()}))
def test_what_was_found_once_stays_mended(target: str, tmp_path: Path) -> None:
    parser = named(target)
    with parser.opened(tmp_path) as check:
        found = {path.name: feed(parser, check, path.read_bytes())[0] for name, path in kept() if name == target}
    assert found
    assert not {name: faults for name, faults in found.items() if faults}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SEEDS = {name: [json.loads(raw) for raw in named(name).seeds()] for name in ("event", "record", "webhook", "transaction")}


@st.composite
def documents(draw: st.DrawFn, name: str) -> bytes:
    """A document of the right shape in which some fields are anything at all."""
    document = dict(draw(st.sampled_from(SEEDS[name])))
    inner = document
    for field in draw(st.lists(st.sampled_from(sorted(document)), min_size=1, max_size=3)):
        if isinstance(inner.get(field), dict) and inner[field] and draw(st.booleans()):
            deeper = inner[field] = dict(inner[field])
            deeper[draw(st.sampled_from(sorted(deeper)))] = draw(JSON)
        else:
            inner[field] = draw(JSON)
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("target", sorted(SEEDS))
def test_any_value_in_any_field_is_taken_or_clearly_refused(target: str, tmp_path: Path) -> None:
    parser = named(target)
    with parser.opened(tmp_path) as check:

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(documents(target))
        def hold(raw: bytes) -> None:
            assert list(check(raw)) == []

        hold()


def _raises(raw: bytes) -> Iterator[str]:
    yield from () if b"\x00" not in raw else [][1]


def _hangs(raw: bytes) -> Iterator[str]:
    yield from () if b"\x00" not in raw else [str(sum(range(40_000_000)))][1:]


def _tells(raw: bytes) -> Iterator[str]:
    yield from ["not clean"] if b"\x00" in raw else []


@pytest.mark.parametrize(("broken", "said"), [(_raises, "IndexError"), (_hangs, "ms"), (_tells, "not clean")])
def test_fuzzer_finds_what_is_broken_and_repeats_it(broken: object, said: str, tmp_path: Path) -> None:
    parser = Parser("broken", lambda: [b"fine", b"also fine"], by_bytes(), pure(broken), slowest=0.1)  # type: ignore[arg-type]
    done = [fuzz(parser, tmp_path, seed=3, runs=1500, tell=lambda _: None) for _ in range(2)]
    assert said in done[0].faults[0]
    assert b"\x00" in done[0].found
    assert [(each.runs, each.found) for each in done] == [(done[0].runs, done[0].found)] * 2
    assert keep("broken", done[0].found, tmp_path).read_bytes() == done[0].found
    assert [name for name, _ in kept(tmp_path)] == ["broken"]
