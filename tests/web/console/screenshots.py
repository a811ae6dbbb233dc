"""`python -m tests.web.console.screenshots FOLDER` sets a scene and saves pictures of the main pages, to be looked at."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.requests.world import PeopleWorld
from tests.web.console.live import a_browser
from tests.web.console.scene import a_scene
from tests.web.console.site import PASSWORD, Site
from tests.web.listening import listening
from worker.observe import configure_logging
from worker.operators.operators import Operators
from worker.settings import Settings
from worker.store.engine import Store
from worker.store.schema import upgrade

SIZES = {"phone": (375, 720), "desktop": (1280, 800)}


def main(folder: Path) -> None:
    """Saves one picture for each page, size and scheme."""
    configure_logging(Settings(log_level="error"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        store = Store(f"sqlite:///{place}/refunds.db")
        upgrade(store)
        world = a_scene(store, Path(place))
        site = Site(world, flower_url="https://flower.example.org")
        Operators(store, world.clock).add("ana", PASSWORD, by="screenshots")
        with listening(site.app) as port:
            browser = a_browser(playwright)
            for size, (width, height) in SIZES.items():
                for scheme in ("light", "dark"):
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme=scheme,
                        base_url=f"http://127.0.0.1:{port}",
                    )
                    page = context.new_page()
                    page.goto("/sign-in")
                    page.screenshot(path=folder / f"sign-in-{size}-{scheme}.png", full_page=True)
                    page.get_by_label("Name").fill("ana")
                    page.get_by_label("Password").fill(PASSWORD)
                    page.get_by_role("button", name="Sign in").click()
                    for name, path in paths(world).items():
                        page.goto(path)
                        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
                    context.close()
                    world.clock.pass_(seconds=1)
            browser.close()
        world.close()
        store.close()


def paths(world: PeopleWorld) -> dict[str, str]:
    """The pages worth a look."""

    def case(name: str) -> str:
        found = world.case(name)
        assert found is not None
        return str(found["case_id"])

    letters = world.letters.listing(state="open", limit=10, after=None)[0]
    return {
        "overview": "/",
        "deadlines": "/overdue",
        "cases": "/cases",
        "not-found": "/cases?q=job_9",
        "case-job": f"/cases/{case('job_whole')}",
        "case-charge": f"/cases/{case('ord_1')}",
        "case-dispute": f"/cases/{case('ord_3')}",
        "case-request": f"/cases/{case('ord_4')}",
        "review": "/review",
        "review-dispute": f"/review/{case('ord_3')}",
        "review-request": f"/review/{case('ord_4')}",
        "requeue": f"/cases/{case('job_again')}/requeue",
        "account": "/accounts/acc_2",
        "dead": "/dead",
        "letter": f"/dead/{letters[1]['dead_id']}",
        "nothing": "/nothing",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
