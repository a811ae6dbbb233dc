"""Dead letters in pages: shown safely, given out whole, put back or aside."""

import re

from sqlalchemy import update

from tests.requests.world import PeopleWorld
from tests.web.console.one_engine import database_url
from tests.web.console.reading import page
from tests.web.console.scene import RAW
from tests.web.console.site import Browser, words_of
from worker.store.tables import dead_letters

__all__ = ["database_url"]


def test_dead_letters_are_shown_safely_and_given_out_whole(world: PeopleWorld, local: Browser) -> None:
    listed = page(local, "/dead")
    (path,) = [path for path in re.findall(r'href="(/dead/dead_[^"]*)"', listed) if "owned" in local.get(path).text]
    text = words_of(page(local, path))
    assert "\\x1b]0;owned\\x07 \\xff\\xfe \\x202e gnp.exe" in text
    assert '"<script>alert(1)</script>"' in text
    raw = local.get(f"{path}/raw")
    assert raw.content == RAW
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["content-disposition"].startswith("attachment; ")
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert raw.headers["content-security-policy"].endswith("; sandbox")
    assert raw.headers["cache-control"] == "no-store"


def test_large_letter_is_shown_in_part(world: PeopleWorld, local: Browser) -> None:
    world.happen(b"<" * 60_000)
    world.happen(b"\x1b" * 60_000)
    letters = world.letters.listing(state="open", limit=9, after=None)[0]
    large = [item for item in letters if item["bytes"] == 60_000]
    assert len(large) == 2
    for item in large:
        assert "only the beginning is shown" in page(local, f"/dead/{item['dead_id']}")


def test_dead_letter_is_put_back_or_told_why_not(world: PeopleWorld, local: Browser) -> None:
    dead_id = world.letters.listing(state="open", limit=1, after=None)[0][0]["dead_id"]
    path = f"/dead/{dead_id}"
    refused = local.send(path, f"{path}/requeue", reason="try")
    assert refused.status_code == 409
    assert "still cannot be read" in refused.text
    world.store.write(
        lambda tx: tx.connection.execute(
            update(dead_letters)
            .where(dead_letters.c.dead_id == dead_id)
            .values(raw=world.submitted("job_back", "acc_2").encode())
        )
    )
    assert local.send(path, f"{path}/requeue", reason="mended").headers["location"] == f"{path}?note=dead-requeued"
    world.sweep()
    assert world.credits("acc_2") == 185
    assert "requeued by local: mended" in words_of(page(local, path))
    assert dead_id not in page(local, "/dead")
    assert dead_id in page(local, "/dead?all=1")
    assert local.post(f"{path}/discard", _csrf(local) | {"reason": "late"}).status_code == 409


def _csrf(browser: Browser) -> dict[str, str]:
    found = re.search(r'name="csrf" value="([^"]*)"', " ".join(browser.get(path).text for path in open_letters(browser)))
    assert found is not None
    return {"csrf": found[1]}


def open_letters(browser: Browser) -> list[str]:
    return re.findall(r'href="(/dead/dead_[^"]*)"', browser.get("/dead").text)
