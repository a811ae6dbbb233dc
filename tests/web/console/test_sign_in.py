"""Nobody gets in without a password, nobody guesses one, and no other site can use one."""

import secrets
import time
from hashlib import sha256

import pytest
from sqlalchemy import select, text

from tests.cases.world import World
from tests.web.console.one_engine import database_url
from tests.web.console.site import PASSWORD, SHARED, Site, hidden_fields, words_of
from worker.errors import TryLater
from worker.operators import passwords
from worker.operators.credentials import Credentials
from worker.operators.operators import Operators
from worker.store.engine import Store
from worker.store.tables import sessions, sign_ins

__all__ = ["database_url"]

PAGES = [
    "/",
    "/overdue",
    "/cases",
    "/cases/case_1",
    "/cases/case_1/requeue",
    "/dead",
    "/dead/x",
    "/dead/x/raw",
    "/accounts/acc_1",
]


@pytest.fixture
def site(store: Store) -> Site:
    return Site(World(store), password=SHARED)


def cookie_of(headers: list[str]) -> str:
    (found,) = [value for value in headers if value.startswith("refunds_session=")]
    return found


def rows(site: Site) -> list[str]:
    return [row.operator for row in site.store.read(lambda tx: tx.all(select(sessions.c.operator)))]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_behind_the_sign_in_whether_it_exists_or_not(site: Site, path: str) -> None:
    answer = site.browser().get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert answer.content == b""


def test_changes_are_behind_the_sign_in_and_say_that_nothing_was_done(site: Site) -> None:
    answer = site.browser().post("/dead/x/discard", {"reason": "because"})
    assert answer.status_code == 403
    assert "Your session has ended. Nothing was changed" in words_of(answer.text)


@pytest.mark.parametrize(("path", "page"), [("/cases/c1/requeue", "/cases/c1/requeue"), ("/review/c1/decide", "/review/c1")])
def test_what_was_typed_is_shown_where_the_session_ended_and_the_way_leads_back(site: Site, path: str, page: str) -> None:
    answer = site.browser().post(path, {"reason": "they were </textarea>charged twice", "password": "hidden from all"})
    assert "they were &lt;/textarea&gt;charged twice</textarea>" in answer.text
    assert "hidden from all" not in answer.text
    browser = site.browser()
    sent = hidden_fields(answer.text, "/sign-in") | {"name": "console", "password": SHARED}
    assert browser.post("/sign-in", sent).headers["location"] == page


def test_sign_in_leads_on_and_only_the_hash_of_its_token_is_kept(site: Site) -> None:
    browser = site.browser()
    answer = browser.sign_in("console", SHARED, next="/overdue")
    assert (answer.status_code, answer.headers["location"]) == (303, "/overdue")
    cookie = cookie_of(answer.headers.get_list("set-cookie")).lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    assert "max-age" not in cookie
    token = browser.cookies["refunds_session"]
    assert len(token) >= 43
    with site.store.engine.connect() as connection:
        kept = str(connection.execute(text("select * from sessions")).all())
    assert token not in kept
    assert browser.get("/overdue").status_code == 200


def test_cookie_is_for_tls_alone_where_the_browser_speaks_tls(site: Site) -> None:
    direct = site.browser(scheme="https").sign_in("console", SHARED)
    assert "Secure" in cookie_of(direct.headers.get_list("set-cookie"))
    proxied = site.browser().post("/sign-in", {"name": "console", "password": SHARED}, {"origin": "https://127.0.0.1:8080"})
    assert "Secure" in cookie_of(proxied.headers.get_list("set-cookie"))


def test_unknown_name_costs_as_much_as_a_wrong_password(site: Site) -> None:
    operators = Operators(site.store, site.clock)
    operators.add("ana", PASSWORD, by="root")
    credentials = Credentials.of(site.store, site.clock, operators, None)

    def cost(name: str, address: str) -> float:
        # of this thread's processor: what else runs beside tells nothing
        began = time.thread_time()
        assert not credentials.hold(name, "a wrong password", address)
        return time.thread_time() - began

    known = [cost("ana", "192.0.2.1")]
    unknown = [cost(name, address) for name, address in (("nobody", "192.0.2.2"), ("console", "192.0.2.3"))]
    assert min(unknown) > min(known) / 2


def test_each_sign_in_is_a_new_token(site: Site) -> None:
    browser = site.browser()
    planted = secrets.token_urlsafe(32)
    browser.cookies.set("refunds_session", planted, domain="127.0.0.1", path="/")
    browser.sign_in("console", SHARED)
    first = browser.cookies["refunds_session"]
    assert first != planted
    again = site.browser()
    again.sign_in("console", SHARED)
    assert again.cookies["refunds_session"] != first
    assert len(rows(site)) == 2


def test_sign_in_ends_what_began_without_one_in_the_same_browser(store: Store) -> None:
    """Its token would count again as soon as the password is taken away."""
    site = Site(World(store))
    browser, other = site.browser(), site.browser()
    assert browser.get("/").status_code == 200
    before = browser.cookies["refunds_session"]
    assert rows(site) == ["local"]
    assert other.get("/").status_code == 200
    site.password = SHARED
    site.__post_init__()
    assert browser.get("/").status_code == 303
    browser.sign_in("console", SHARED)
    assert browser.cookies["refunds_session"] != before
    assert sorted(rows(site)) == ["console", "local"], "the other browser's is its own matter"


def test_sign_out_ends_the_session_for_whoever_kept_the_token(site: Site) -> None:
    browser, other = site.browser(), site.an_operator()
    browser.sign_in("console", SHARED)
    thief = site.browser()
    kept = browser.cookies["refunds_session"]
    assert browser.send("/", "/sign-out").headers["location"] == "/sign-in?note=signed-out"
    assert rows(site) == ["ana"]
    thief.cookies.set("refunds_session", kept, domain="127.0.0.1", path="/")
    assert thief.get("/").status_code == 303
    assert other.get("/").status_code == 200


def test_idle_session_ends_and_a_used_one_ends_too(site: Site) -> None:
    browser = site.browser()
    browser.sign_in("console", SHARED)
    for _ in range(3):
        site.clock.pass_(minutes=29)
        assert browser.get("/").status_code == 200
    site.clock.pass_(minutes=31)
    assert browser.get("/").status_code == 303
    browser.sign_in("console", SHARED)
    for _ in range(24):
        site.clock.pass_(minutes=29)
        assert browser.get("/").status_code == 200
    site.clock.pass_(minutes=29)
    assert browser.get("/").status_code == 303


def test_another_shared_password_ends_the_sessions_of_the_old_one(site: Site) -> None:
    browser = site.browser()
    browser.sign_in("console", SHARED)
    ana = site.an_operator()
    site.password = "another shared password"
    site.__post_init__()
    assert browser.get("/").status_code == 303
    assert ana.get("/").status_code == 200
    site.password = None
    site.__post_init__()
    assert browser.get("/").status_code == 303


def test_wrong_password_and_unknown_name_are_answered_alike(site: Site) -> None:
    site.an_operator("ana")
    answers = []
    for number, name in enumerate(["ana", "nobody", "local", "", "console"]):
        answer = site.browser(address=f"10.0.0.{number}").sign_in(name, "wrong password")
        answers.append((answer.status_code, answer.text, sorted(answer.headers)))
    assert answers[0][0] == 403
    assert all(answer == answers[0] for answer in answers)


def test_waits_grow_with_wrong_passwords_and_the_right_one_is_not_looked_at_meanwhile(site: Site) -> None:
    waits = []
    for number in range(12):
        browser = site.browser(address=f"10.0.1.{number}")
        assert browser.sign_in("console", "wrong password").status_code == 403
        refused = site.browser(address="10.0.2.1").sign_in("console", SHARED)
        assert refused.status_code == 429
        assert "Try again in" in refused.text
        waits.append(int(refused.headers["retry-after"]))
        site.clock.pass_(seconds=waits[-1])
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert site.browser().sign_in("console", SHARED).status_code == 303
    # the right password cleared the count
    assert site.browser(address="10.0.3.1").sign_in("console", "wrong password").status_code == 403
    assert site.browser(address="10.0.2.1").sign_in("console", SHARED).headers["retry-after"] == "2"


def test_right_password_of_one_name_ends_the_wait_of_no_other(site: Site) -> None:
    """Whoever may sign in could else try another's password without end."""
    site.an_operator("ana")
    assert site.browser(address="10.0.0.1").sign_in("console", "wrong password").status_code == 403
    assert site.browser(address="10.0.0.2").sign_in("ana", PASSWORD).status_code == 303
    assert site.browser(address="10.0.0.2").sign_in("console", SHARED).status_code == 429
    assert site.browser(address="10.0.0.1").sign_in("ana", PASSWORD).status_code == 429


def test_one_address_that_tries_many_names_has_to_wait(site: Site) -> None:
    assert site.browser(address="2001:db8::1").sign_in("a", "wrong password").status_code == 403
    assert site.browser(address="2001:db8::2").sign_in("b", "wrong password").status_code == 429
    assert site.browser(address="2001:db8:0:1::2").sign_in("c", "wrong password").status_code == 403
    assert site.browser(address="10.0.0.1").sign_in("d", "wrong password").status_code == 403


def test_names_tried_are_not_kept_and_old_counts_are_forgotten(site: Site) -> None:
    site.browser(address="10.0.0.1").sign_in("my password by mistake", "x")
    kept = [row.name for row in site.store.read(lambda tx: tx.all(select(sign_ins.c.name)))]
    assert kept[0] == "address:10.0.0.1"
    assert not any("mistake" in name for name in kept)
    site.clock.pass_(days=2)
    site.browser(address="10.0.0.2").sign_in("ana", "x")
    kept = [row.name for row in site.store.read(lambda tx: tx.all(select(sign_ins.c.name)))]
    assert len(kept) == 2


def test_next_page_is_always_one_of_ours(site: Site) -> None:
    elsewhere = [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "evil",
        "/\t/evil.example",
        "",
    ]
    for named in elsewhere:
        answer = site.browser().sign_in("console", SHARED, next=named)
        assert answer.headers.get("location", "/") == "/", named


def test_hash_says_how_it_was_made_and_fits_only_its_password() -> None:
    kept = passwords.hashed("correct horse battery")
    assert kept.startswith("scrypt$32768$8$1$")
    assert passwords.matches("correct horse battery", kept)
    assert not passwords.matches("correct horse batterz", kept)
    assert passwords.hashed("correct horse battery") != kept
    assert passwords.matches("caf\u00e9 caf\u00e9 caf\u00e9", passwords.hashed("cafe\u0301 cafe\u0301 cafe\u0301"))
    with pytest.raises(ValueError, match="unknown kind"):
        passwords.matches("x", "md5$1$1$1$a$a")


def test_session_hash_is_of_the_whole_token(site: Site) -> None:
    ana = site.an_operator("ana")
    token = ana.cookies["refunds_session"]
    kept = site.store.read(lambda tx: tx.all(select(sessions.c.session_hash).where(sessions.c.operator == "ana")))
    assert [row.session_hash for row in kept] == [sha256(token.encode()).hexdigest()]


def test_database_that_is_away_is_a_page(store: Store) -> None:
    class Away(Store):
        def read(self, work: object) -> object:  # type: ignore[override]
            raise TryLater("the database", "secret-host is away")

    world = World(store)
    site = Site(world, password=SHARED)
    browser = site.browser()
    browser.sign_in("console", SHARED)
    away = Away(store.url)
    world.store = away
    site.__post_init__()
    answer = browser.get("/")
    away.close()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "secret-host" not in answer.text
