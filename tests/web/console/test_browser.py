"""The console in a real browser, without a script in it: clicked, tabbed through, on a phone, in the dark."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from tests.requests.world import PeopleWorld
from tests.web.console.live import NEEDS_CHROMIUM, a_browser
from tests.web.console.scene import a_scene
from tests.web.console.screenshots import paths
from tests.web.console.site import PASSWORD, Site, let_in
from tests.web.listening import listening
from worker.store.engine import Store
from worker.store.schema import upgrade

pytestmark = [pytest.mark.landing, NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = a_browser(playwright)
        yield made
        made.close()


LONG_NAME = "anna.maria.schwarzenberger@layers.example.org"


@dataclass
class House:
    """The running site, its browsers, and everything that the browsers complained about."""

    world: PeopleWorld
    address: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def visitor(self, **more: Any) -> Page:
        """A browser of somebody who is not signed in."""
        context = self.browser.new_context(base_url=self.address, **more)
        context.set_default_timeout(10_000)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._asked)
        return page

    def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def signed_in(self, name: str = "ana", **more: Any) -> Page:
        """A browser of an operator."""
        page = self.visitor(**more)
        page.goto("/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Overview").wait_for()
        return page


@pytest.fixture
def house(tmp_path: Path, browser: Browser) -> Iterator[House]:
    store = Store(f"sqlite:///{tmp_path / 'refunds.db'}")
    upgrade(store)
    world = a_scene(store, tmp_path)
    for name in ("ana", "ben", LONG_NAME):
        let_in(store, world.clock, name)
    with listening(Site(world, flower_url="https://flower.example.org").app) as port:
        made = House(world, f"http://127.0.0.1:{port}", browser)
        yield made
        for context in made.contexts:
            context.close()
    world.close()
    store.close()
    assert [said for said in made.complaints if "status of 4" not in said] == []


def test_somebody_on_call_finds_a_case_and_reads_why(house: House) -> None:
    page = house.signed_in()
    page.get_by_role("searchbox").fill("job_whole")
    page.get_by_role("button", name="Find").click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("job_whole")
    assert page.get_by_text("gets its credits back without being asked").is_visible()
    assert page.get_by_text("the outcome would have been").is_visible()
    page.get_by_role("link", name="acc_2").first.click()
    assert page.get_by_text("credits to spend").is_visible()
    page.get_by_role("button", name="Sign out").click()
    assert page.get_by_text("You are signed out.").is_visible()
    page.go_back()
    assert page.get_by_role("heading", name="Sign in").is_visible()


def test_wrong_password_gets_nobody_in(house: House) -> None:
    page = house.visitor()
    page.goto("/cases")
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "That name and password do not go together."
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    assert "Try again in 2 seconds" in page.get_by_role("alert").inner_text()
    assert page.context.cookies() == []
    house.world.clock.pass_(seconds=2)
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("heading", name="Cases").is_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    assert page.evaluate("document.cookie") == ""


def test_dead_letter_is_put_back_by_hand(house: House) -> None:
    page = house.signed_in()
    page.get_by_role("link", name="Dead letters").first.click()
    page.get_by_role("link", name="stream:").last.click()
    page.get_by_label("Reason").first.fill("mended at the source")
    page.get_by_role("button", name="Requeue").click()
    assert page.get_by_text("still cannot be read").is_visible()
    page.go_back()
    page.get_by_label("Reason").last.fill("nothing of ours")
    page.get_by_role("button", name="Discard").click()
    assert page.get_by_role("status").inner_text() == "Put aside. Its bytes stay."
    assert page.get_by_text("ana: nothing of ours").is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the bytes").click()
    assert download.value.suggested_filename.endswith(".bin")


def test_two_people_approve_and_each_gives_the_password(house: House) -> None:
    ana, ben = house.signed_in("ana"), house.signed_in("ben")
    ana.get_by_role("link", name="Review").first.click()
    ana.get_by_role("link", name="ord_3").click()
    ana.get_by_role("button", name="Take this case").click()
    ana.get_by_label("Suspend").check()
    ana.get_by_label("Reason").fill("delivered, downloaded, and disputed")
    ana.get_by_label("Your password").fill(PASSWORD)
    ana.get_by_role("button", name="Decide").click()
    assert ana.get_by_role("status").inner_text().startswith("Proposed.")
    assert ana.get_by_role("button", name="Agree").count() == 0
    ben.get_by_role("link", name="Review").first.click()
    ben.get_by_role("link", name="ord_3").click()
    assert ben.get_by_text("delivered, downloaded, and disputed").is_visible()
    ben.get_by_label("Reason").first.fill("seen the same")
    ben.get_by_label("Your password").fill(PASSWORD)
    ben.get_by_role("button", name="Agree").click()
    assert ben.get_by_role("status").inner_text().startswith("Decided.")
    assert house.world.account("acc_3")["status"] == "suspended"


def test_form_of_another_site_changes_nothing(house: House) -> None:
    page = house.signed_in()
    letter = house.world.letters.listing(state="open", limit=1, after=None)[0][0]["dead_id"]
    action = f"{house.address}/dead/{letter}/discard"
    form = f'<form action="{action}" method="post"><input name="reason" value="forged"><button>Win a prize</button></form>'
    page.context.route("http://evil.example/", lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto("http://evil.example/")
    page.get_by_role("button").click()
    assert page.get_by_role("heading", name="Not allowed").is_visible()
    assert len(house.world.dead()) == 3
    assert {state for _, state in house.world.dead()} == {"open"}
    # ours, but without its token
    page.goto(f"/dead/{letter}")
    page.evaluate("document.querySelectorAll('input[name=csrf]').forEach(each => each.remove())")
    page.get_by_label("Reason").last.fill("forged")
    page.get_by_role("button", name="Discard").click()
    assert page.get_by_role("heading", name="Not allowed").is_visible()
    assert {state for _, state in house.world.dead()} == {"open"}


def test_phone_scrolls_no_page_sideways_and_the_dark_is_dark(house: House) -> None:
    phone = {"width": 375, "height": 720}
    for scheme, bright in (("light", True), ("dark", False)):
        page = house.signed_in(LONG_NAME, viewport=phone, color_scheme=scheme)
        for name, path in paths(house.world).items():
            page.goto(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 375, (name, width)
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            channels = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
            assert (min(channels) > 200) is bright, (name, colour)
            small = page.evaluate(
                "[...document.querySelectorAll('main button, main .button')]"
                ".filter(each => each.getBoundingClientRect().height < 34).map(each => each.textContent)"
            )
            assert small == [], name
            off = page.evaluate(
                "[...document.querySelectorAll('.table td')]"
                ".filter(each => each.getBoundingClientRect().right > innerWidth).map(each => each.textContent)"
            )
            assert off == [], "a row is read without moving it"


def test_what_is_printed_is_whole(house: House) -> None:
    page = house.signed_in()
    page.emulate_media(media="print")
    for name, path in paths(house.world).items():
        page.goto(path)
        cut = "[...document.querySelectorAll('pre, .table')].filter(each => each.scrollHeight > each.clientHeight + 1).length"
        assert page.evaluate(cut) == 0, name


def test_keyboard_reaches_everything_in_order(house: House) -> None:
    page = house.signed_in()
    letter = house.world.letters.listing(state="open", limit=1, after=None)[0][0]["dead_id"]
    page.goto(f"/dead/{letter}")
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [e.textContent.trim() || e.name || '', s.outlineStyle !== 'none' && s.outlineWidth !== '0px'] })()"
            )
        )
    reached = [name for name, _ in seen]
    wanted = [
        "Skip to content",
        "Refunds",
        "Cases",
        "Dead letters",
        "Find",
        "Sign out",
        "Download the bytes",
        "Requeue",
        "Discard",
    ]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)
    assert all(visible for name, visible in seen if name in wanted), seen
    page.goto(f"/dead/{letter}")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_console_works_without_scripts_and_names_its_parts(house: House) -> None:
    page = house.signed_in(java_script_enabled=False)
    page.goto("/review")
    assert page.get_by_role("navigation", name="Pages").is_visible()
    assert page.get_by_role("region", name="Review queue").is_visible()
    assert page.locator("script").count() == 0
    assert page.locator("h1").count() == 1
