"""What stands before every page: the name it was asked for, the origin, the token, and the headers of every answer."""

import re
from typing import Any

import pytest

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import PASSWORD, SHARED, Browser, Site, hidden_fields, letter, states, words_of
from worker.cases.review.reviewer import Reviewer
from worker.credits.ledger import Ledger
from worker.store.engine import Store

POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

__all__ = ["database_url"]


@pytest.fixture
def site(store: Store) -> Site:
    world = World(store)
    world.happen(b"{")
    return Site(world, password=SHARED, console_hosts=("refunds.example.org",))


@pytest.fixture
def ana(site: Site) -> Browser:
    return site.an_operator()


def token_of(site: Site, browser: Browser) -> str:
    path = f"/dead/{letter(site)}"
    return hidden_fields(browser.get(path).text, f"{path}/discard")["csrf"]


def test_form_of_the_session_is_taken(site: Site, ana: Browser) -> None:
    path = f"/dead/{letter(site)}"
    answer = ana.send(path, f"{path}/discard", reason="seen")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?note=dead-discarded")
    assert states(site) == ["discarded"]
    shown = words_of(ana.get(answer.headers["location"]).text)
    assert "Put aside." in shown
    assert "discarded by ana: seen" in shown


@pytest.mark.parametrize("token", ["", "x", "é", None])
def test_form_without_the_token_is_refused(site: Site, ana: Browser, token: str | None) -> None:
    form = {"reason": "forged"} | ({} if token is None else {"csrf": token})
    assert ana.post(f"/dead/{letter(site)}/discard", form).status_code == 403
    assert states(site) == ["open"]


def test_token_of_another_session_is_refused(site: Site, ana: Browser) -> None:
    other = site.browser()
    other.sign_in("console", SHARED)
    stolen = token_of(site, other)
    assert ana.post(f"/dead/{letter(site)}/discard", {"reason": "forged", "csrf": stolen}).status_code == 403
    assert states(site) == ["open"]


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1:8080.evil.example"},
    {"origin": "file://127.0.0.1:8080"},
    {"origin": "http://[evil"},
    {"origin": "", "referer": "http://evil.example/page"},
    {"origin": "", "referer": "nonsense"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_form_that_another_site_sent_is_refused_even_with_the_token(site: Site, ana: Browser, headers: dict[str, str]) -> None:
    form = {"reason": "forged", "csrf": token_of(site, ana)}
    answer = ana.post(f"/dead/{letter(site)}/discard", form, headers)
    assert answer.status_code == 403
    assert "another site" in answer.text
    assert states(site) == ["open"]
    assert site.browser(address="10.0.0.9").post("/sign-in", {"name": "ana", "password": PASSWORD}, headers).status_code == 403


def test_form_whose_host_a_proxy_changed_is_refused_and_the_proxy_named(site: Site) -> None:
    # nginx passes $host on, without the port that the browser has in its address
    changed = {"host": "refunds.example.org", "origin": "https://refunds.example.org:8443", "sec-fetch-site": "same-origin"}
    answer = site.browser(host="refunds.example.org").post("/sign-in", {"name": "ana", "password": PASSWORD}, changed)
    assert answer.status_code == 403
    assert "a proxy before the console changed the Host header" in answer.text


def test_form_of_a_browser_that_names_no_origin_needs_the_token_alone(site: Site, ana: Browser) -> None:
    form = {"reason": "seen", "csrf": token_of(site, ana)}
    here = {"origin": "", "referer": "http://127.0.0.1:8080/dead"}
    assert ana.post(f"/dead/{letter(site)}/discard", form, {"origin": ""}).status_code == 303
    assert ana.post(f"/dead/{letter(site)}/discard", form, here).status_code == 409


def test_reading_changes_nothing(site: Site, ana: Browser) -> None:
    dead_id = letter(site)
    for path in (f"/dead/{dead_id}/discard", f"/dead/{dead_id}/requeue", "/sign-out"):
        assert ana.get(path).status_code == 405
    assert states(site) == ["open"]
    assert ana.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1:8080", "[::2]", "refunds.example.org."]
)
def test_name_that_is_not_ours_is_not_answered(site: Site, host: str) -> None:
    for path in ("/", "/sign-in", "/console.css"):
        assert site.browser().get(path, host=host).status_code == (200 if path == "/console.css" else 421)
    answer = site.browser().post("/sign-in", {"name": "console", "password": SHARED}, {"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 421


def test_machines_are_answered_under_any_name(site: Site) -> None:
    browser = site.browser(host="anything.example")
    assert browser.get("/healthz").json() == {"status": "alive"}
    assert browser.ask("POST", "/webhooks/creem", content=b"{}").json() == {"error": "no valid signature"}
    assert browser.get("/webhooks/creem").json() == {"error": "Method Not Allowed"}
    assert browser.get("/webhooks/other").status_code == 404
    assert browser.get("/webhooks/other").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]:8080", "LOCALHOST:80", "refunds.example.org", "Refunds.Example.org:443"]
)
def test_names_that_are_ours_are_answered(site: Site, host: str) -> None:
    assert site.browser().get("/sign-in", host=host).status_code == 200


def test_every_page_carries_its_headers(site: Site, ana: Browser) -> None:
    for path in ("/", "/sign-in", "/nothing", f"/dead/{letter(site)}", "/cases?q=job_none"):
        headers = ana.get(path).headers
        assert headers["content-security-policy"] == POLICY, path
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path


def test_style_sheet_may_be_kept(site: Site) -> None:
    path = re.search(r'href="(/console.css[^"]*)"', site.browser().get("/sign-in").text)
    assert path is not None
    answer = site.browser().get(path[1])
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert len(answer.content) < 20_000


class Broken(Reviewer):
    """A collaborator with a defect."""

    def queue(self, *, limit: int, after: str | None) -> Any:
        raise ZeroDivisionError("the secret is 42")


def test_page_that_breaks_shows_no_traceback(store: Store) -> None:
    world = World(store)
    broken = Broken(store, Ledger(), world.bench, None, world.clock)
    answer = Site(world, reviews=broken, raises=False).browser().get("/review")
    assert answer.status_code == 500
    assert "<h1>Something went wrong</h1>" in answer.text
    assert "42" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY
