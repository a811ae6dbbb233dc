"""Forms as nobody fills them in: too large, unreadable, without a reason."""

import pytest

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import SHARED, Browser, Site, letter, states
from worker.store.engine import Store
from worker.web.console.forms import MAX_BYTES

__all__ = ["database_url"]


@pytest.fixture
def site(store: Store) -> Site:
    world = World(store)
    world.happen(b"{")
    return Site(world, password=SHARED)


@pytest.fixture
def ana(site: Site) -> Browser:
    return site.an_operator()


def test_form_that_is_too_large_is_refused_before_it_is_read(site: Site, ana: Browser) -> None:
    path = f"/dead/{letter(site)}/discard"
    assert ana.post(path, {"reason": "x" * MAX_BYTES}).status_code == 413

    async def without_length() -> object:
        for _ in range(10):
            yield b"x" * (MAX_BYTES // 8)

    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert ana.ask("POST", path, content=without_length(), headers=kind).status_code == 413
    assert ana.ask("POST", path, content=b"reason=short", headers=kind | {"content-length": "99999"}).status_code == 413
    assert states(site) == ["open"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"reason=a&reason=b", "application/x-www-form-urlencoded", 400),
        (b"reason=%ff", "application/x-www-form-urlencoded", 400),
        (b"reason=\xff", "application/x-www-form-urlencoded", 400),
        (b"reason=a%00b", "application/x-www-form-urlencoded", 400),
        (b"reason=a%1bb", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % n for n in range(60)), "application/x-www-form-urlencoded", 400),
        (b'{"reason": "a"}', "application/json", 415),
        (b"reason=a", "text/plain", 415),
        (b"reason=a", "multipart/form-data; boundary=x", 415),
    ],
)
def test_form_that_cannot_be_read_is_refused(site: Site, ana: Browser, body: bytes, kind: str, status: int) -> None:
    answer = ana.ask("POST", f"/dead/{letter(site)}/discard", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert states(site) == ["open"]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_change_without_a_fair_reason_is_refused(site: Site, ana: Browser, reason: str) -> None:
    path = f"/dead/{letter(site)}"
    assert ana.send(path, f"{path}/discard", reason=reason).status_code == 400
    assert states(site) == ["open"]


@pytest.mark.parametrize(
    "path", ["/cases?q=a%00b", "/cases/a%00b", "/cases?after=%1b", "/accounts/%00", "/dead?after=%00", "/%00"]
)
def test_control_characters_in_an_address_are_refused(site: Site, ana: Browser, path: str) -> None:
    assert ana.get(path).status_code in {400, 404}
