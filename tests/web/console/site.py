"""The whole application on a real database, and browsers that keep cookies, asked in the same process."""

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from typing import Any

import fakeredis
import httpx
from sqlalchemy import select
from starlette.applications import Starlette

from tests.cases.world import HandClock, World
from worker.cases.review.reviewer import Reviewer
from worker.credits.ledger import Ledger
from worker.creem.environment import Environment
from worker.creem.receive import Receiver
from worker.store.engine import Store
from worker.store.tables import dead_letters, operators
from worker.web.app import Web, make_app
from worker.web.console.console import Console

PASSWORD = "correct horse battery"
SHARED = "the shared password"


@dataclass
class Site:
    """One installation with its console. `password` is the shared one."""

    world: World
    password: str | None = None
    console_hosts: tuple[str, ...] = ()
    flower_url: str | None = None
    reviews: Reviewer | None = None
    web_host: str = "127.0.0.1"
    raises: bool = True
    opens: bool = True
    app: Starlette = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        console = Console.of(
            store=world.store,
            clock=world.clock,
            editions=world.bench.editions,
            requeuer=world.requeuer,
            letters=world.letters,
            reviews=self.reviews or Reviewer(world.store, Ledger(), world.bench, Environment.TEST, world.clock),
            web_host=self.web_host,
            fit=lambda: None,
            console_hosts=self.console_hosts,
            password=self.password,
            flower_url=self.flower_url,
            opens=self.opens,
        )
        receiver = Receiver(world.store, world.clock, Environment.TEST.accepts)
        limit = timedelta(seconds=120)
        web = Web(world.store, fakeredis.FakeRedis(), receiver, ("secret",), world.clock, lambda _: None, limit)
        self.app = make_app(web, console)

    @property
    def store(self) -> Store:
        return self.world.store

    @property
    def clock(self) -> HandClock:
        return self.world.clock

    def an_operator(self, name: str = "ana") -> "Browser":
        """Somebody who may sign in, and is signed in."""
        let_in(self.store, self.clock, name, PASSWORD)
        browser = self.browser()
        assert browser.sign_in(name, PASSWORD).status_code == 303
        return browser

    def browser(self, address: str = "127.0.0.1", host: str = "127.0.0.1:8080", scheme: str = "http") -> "Browser":
        """A fresh browser at this address, that calls the site by this name."""
        return Browser(self, address, host, scheme)


def let_in(store: Store, clock: HandClock, name: str, password: str = PASSWORD) -> None:
    """The name may sign in from now on. A hash says itself how it was made: this one at next to no cost, where one of ours takes
    a tenth of a second, now and at each sign-in.
    """
    key = hashlib.scrypt(password.encode(), salt=b"salt", n=2, r=8, p=1, dklen=32)
    kept = "$".join(["scrypt", "2", "8", "1", b64encode(b"salt").decode(), b64encode(key).decode()])
    row = {"name": name, "password_hash": kept, "added_at": clock.now(), "added_by": "tests", "disabled_at": None}
    store.write(lambda tx: tx.insert(operators, [row]))


class Browser:
    """Keeps cookies, says its origin, and fills in the forms it is shown."""

    def __init__(self, site: Site, address: str, host: str, scheme: str) -> None:
        self.site, self.address, self.host, self.scheme = site, address, host, scheme
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, *, content: Any = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.site.app, raise_app_exceptions=self.site.raises, client=(self.address, 50000))
            base = f"{self.scheme}://{self.host}"
            async with httpx.AsyncClient(transport=transport, base_url=base, cookies=self.cookies) as client:
                answer = await client.request(method, path, content=content, headers=headers)
                self.cookies = client.cookies
                return answer

        return asyncio.run(once())

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The form as it stands: nothing is filled in."""
        sent = {"content-type": "application/x-www-form-urlencoded", "origin": f"{self.scheme}://{self.host}"}
        content = str(httpx.QueryParams(dict(form)))
        kept = {name: value for name, value in (sent | dict(headers or {})).items() if value}
        return self.ask("POST", path, content=content, headers=kept)

    def send(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Opens a page, fills in the form that goes to `action`, and sends it."""
        hidden = hidden_fields(self.get(page).text, action)
        return self.post(action, hidden | fields)

    def sign_in(self, name: str, password: str, **more: str) -> httpx.Response:
        return self.send("/sign-in", "/sign-in", name=name, password=password, **more)


def hidden_fields(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to `action`."""
    for start, body in re.findall(r"<form([^>]*)>(.*?)</form>", page, re.DOTALL):
        if f'action="{action}"' in start:
            found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', body)
            return {unescape(name): unescape(value) for name, value in found}
    raise AssertionError(f"no form to {action} on this page")


def words_of(page: str) -> str:
    """What a reader sees of a page, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def letter(site: Site) -> str:
    """The newest dead letter."""
    return str(site.world.letters.listing(state=None, limit=1, after=None)[0][0]["dead_id"])


def states(site: Site) -> list[str]:
    """The states of all dead letters."""
    return [row.state for row in site.store.read(lambda tx: tx.all(select(dead_letters.c.state)))]
