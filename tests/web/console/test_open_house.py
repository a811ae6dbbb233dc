"""While nobody can sign in: whoever sits at the machine may, and nobody else."""

import socket

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import PASSWORD, Site, hidden_fields, letter, states, words_of
from tests.web.listening import listening
from worker.creem.environment import LIVE_URL, TEST_URL
from worker.operators.operators import Operators
from worker.settings import Settings
from worker.store.engine import Store
from worker.store.tables import dead_letters
from worker.web.serve import meant_for_outside

__all__ = ["database_url"]


@pytest.fixture
def home(store: Store) -> Site:
    world = World(store)
    world.happen(b"{")
    return Site(world)


def test_without_any_password_this_machine_acts_as_local(home: Site) -> None:
    browser = home.browser()
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "local" in words_of(answer.text)
    assert "Sign out" not in answer.text
    assert browser.get("/sign-in").headers["location"] == "/"
    path = f"/dead/{letter(home)}"
    assert browser.post(f"{path}/discard", {"reason": "forged"}).status_code == 403
    assert home.browser().post(f"{path}/discard", {"reason": "forged"}).status_code == 403
    assert states(home) == ["open"]
    assert browser.send(path, f"{path}/discard", reason="seen").status_code == 303
    resolved = home.store.read(lambda tx: tx.all(select(dead_letters.c.resolved_by)))
    assert [row.resolved_by for row in resolved] == ["local"]


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.5", "2001:db8::1", "::ffff:10.0.0.1", "nonsense"])
def test_without_any_password_nobody_else_is_answered(home: Site, address: str) -> None:
    for path in ("/", "/sign-in", "/dead"):
        answer = home.browser(address=address).get(path)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_has_more_than_one_address(home: Site, address: str) -> None:
    assert home.browser(address=address).get("/").status_code == 200


def test_without_any_password_a_proxy_is_not_taken_for_this_machine(store: Store) -> None:
    home = Site(World(store), console_hosts=("refunds.example.org",))
    assert home.browser().get("/", x_forwarded_for="10.0.0.1").status_code == 403
    assert home.browser().get("/", forwarded="for=10.0.0.1").status_code == 403
    assert home.browser(host="refunds.example.org").get("/").status_code == 403


def raw(port: int, head: str, body: str = "") -> str:
    """What is answered to these very lines, `HOST` filled in, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        lines = [*head.replace("HOST", f"127.0.0.1:{port}").splitlines(), f"Content-Length: {len(body)}", "Connection: close"]
        one.sendall("\r\n".join([*lines, "", body]).encode())
        said = b""
        while more := one.recv(65536):
            said += more
    return said.decode()


BROWSER = "Host: HOST\nUser-Agent: Mozilla/5.0\nAccept: text/html\nSec-Fetch-Site: none\nSec-Fetch-Mode: navigate"


@pytest.mark.parametrize(
    "head",
    [
        f"GET /dead HTTP/1.0\n{BROWSER}",
        f"GET /dead HTTP/1.1\n{BROWSER}\nX-Forwarded-Proto: https",
        f"GET /dead HTTP/1.1\n{BROWSER}\nVia: 1.1 a",
        f"GET /dead HTTP/1.1\n{BROWSER}\nX-Real-IP: 10.0.0.1",
        f"GET /dead HTTP/1.1\n{BROWSER}\nCF-Connecting-IP: 10.0.0.1",
    ],
    ids=["nginx that was told nothing", "X-Forwarded-Proto", "Via", "X-Real-IP", "CF-Connecting-IP"],
)
def test_without_any_password_what_a_proxy_passes_on_as_to_loopback_is_not_answered(home: Site, head: str) -> None:
    with listening(home.app) as port:
        assert raw(port, f"GET /dead HTTP/1.1\n{BROWSER}").startswith("HTTP/1.1 200 ")
        refused = raw(port, head)
    assert refused.startswith("HTTP/1.1 403 ")
    assert "set-cookie" not in refused.lower()


def test_without_any_password_a_form_has_to_say_where_it_is_from(home: Site) -> None:
    browser = home.browser()
    path = f"/dead/{letter(home)}"
    form = hidden_fields(browser.get(path).text, f"{path}/discard") | {"reason": "from the internet"}
    with listening(home.app) as port:
        cookie = f"Cookie: refunds_session={browser.cookies['refunds_session']}\nContent-Type: application/x-www-form-urlencoded"
        sent = str(httpx.QueryParams(form))
        assert raw(port, f"POST {path}/discard HTTP/1.1\nHost: HOST\n{cookie}", sent).startswith("HTTP/1.1 403 ")
        assert states(home) == ["open"]
        said = f"POST {path}/discard HTTP/1.1\nHost: HOST\nOrigin: http://HOST\n{cookie}"
        assert raw(port, said, sent).startswith("HTTP/1.1 303 ")
    assert states(home) == ["discarded"]


def test_house_that_is_meant_for_outside_never_stands_open(store: Store) -> None:
    home = Site(World(store), opens=False)
    browser = home.browser()
    assert browser.get("/review").headers["location"] == "/sign-in?next=%2Freview"
    assert "`refunds operator add NAME`" in words_of(browser.get("/sign-in").text)
    assert not browser.cookies
    before = Site(home.world).browser()
    assert before.get("/").status_code == 200
    browser.cookies = before.cookies
    assert browser.get("/").status_code == 303, "a session of before counts no more"
    Operators(home.store, home.clock).add("ana", PASSWORD, by="root")
    assert browser.sign_in("ana", PASSWORD).status_code == 303
    assert browser.get("/").status_code == 200


DOUBLE = "http://127.0.0.1:8070"


@pytest.mark.parametrize(
    ("settings", "outside"),
    [
        (Settings(), False),
        (Settings(creem_base_url=LIVE_URL), False),
        (Settings(creem_webhook_secret=SecretStr("whsec")), True),
        (Settings(creem_webhook_secret=SecretStr("whsec"), creem_base_url=LIVE_URL), True),
        (Settings(creem_webhook_secret=SecretStr("whsec"), creem_base_url=TEST_URL), True),
        (Settings(creem_webhook_secret=SecretStr("whsec"), creem_base_url=DOUBLE), False),
        (Settings(creem_webhook_secret=SecretStr("whsec"), creem_base_url=DOUBLE, console_hosts="refunds.example.org"), True),
        (Settings(console_hosts="refunds.example.org"), True),
    ],
)
def test_process_is_meant_for_outside_where_creem_or_people_come_from_there(settings: Settings, outside: bool) -> None:
    assert meant_for_outside(settings) is outside


def test_local_session_ends_where_a_password_is_set_or_an_operator_added(home: Site) -> None:
    browser = home.browser()
    browser.get("/")
    stranger = home.browser(address="10.0.0.1")
    stranger.cookies = browser.cookies
    assert stranger.get("/").status_code == 403
    operators = Operators(home.store, home.clock)
    operators.add("ana", PASSWORD, by="root")
    assert browser.get("/").status_code == 303
    operators.disable("ana", by="root", reason="left")
    # the door does not open again by disabling the last operator
    assert browser.get("/").status_code == 303
