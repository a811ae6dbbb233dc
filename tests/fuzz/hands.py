"""What people and scripts put in: addresses and forms of the console, files for the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from typer.testing import CliRunner

from tests.fuzz.changes import TRICKS, by_bytes
from tests.fuzz.http import Headers, ask
from tests.fuzz.parser import Check, Parser
from tests.intake.documents import DATA, RECORDS, a_record, an_event
from tests.servers import give_schema
from tests.web.console.reading import harmless
from tests.web.console.scene import a_scene
from tests.web.console.site import Site
from tests.web.console.site import letter as letter_of
from worker.cli.main import app as commands
from worker.sandbox.servers import start_redis
from worker.store.engine import Store
from worker.store.schema import upgrade

HOST = (b"host", b"127.0.0.1:8080")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
PAGES: tuple[str, ...] = (
    "/",
    "/overdue",
    "/cases?state=review&kind=request&after=x&find=job_odd",
    "/cases/{case}",
    "/cases/{case}/requeue",
    "/dead?state=open",
)
PAGES += (
    "/dead/{letter}",
    "/dead/{letter}/raw",
    "/review",
    "/review/{case}",
    "/accounts/acc_2",
    "/sign-in?next=/cases",
    "/healthz",
)
FORMS: tuple[str, ...] = ("/sign-in", "/cases/{case}/requeue", "/dead/{letter}/requeue", "/dead/{letter}/discard")
FORMS += ("/review/{case}/take", "/review/{case}/give-back", "/review/{case}/decide", "/review/{case}/withdraw")
FIELDS = {
    "reason": "as asked",
    "choice": "approve",
    "shown": "0" * 32,
    "password": "x",
    "name": "ana",
    "next": "/cases",
    "note": "taken",
}
CONSOLE_TRICKS = (
    *TRICKS,
    b"%00",
    b"%0d%0a",
    b"%e2%80%ae",
    b"%ed%a0%80",
    b"%2f%2e%2e",
    b"&token=",
    b"&reason=",
    b"next=//evil",
    b"{case}",
    b"{letter}",
)


def _requests() -> list[bytes]:
    """Method and target in the first line, the form after it; `{case}`, `{letter}` and `{token}` stand for real ones."""
    filled = "{named}={token}&" + urlencode(FIELDS)
    return [f"GET {page}\n".encode() for page in PAGES] + [f"POST {action}\n{filled}".encode() for action in FORMS]


@contextmanager
def _console(folder: Path) -> Iterator[Check]:
    """Whatever is asked: an answer that is no defect, and a page that no browser runs anything of."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(f"sqlite:///{folder / 'fuzz.db'}")
    upgrade(store)
    world = a_scene(store, folder)
    site = Site(world)
    browser = site.browser()
    page = browser.get("/review").text + browser.get(f"/dead/{letter_of(site)}").text
    found = re.search(r'name="(csrf)" value="([^"]+)"', page)
    assert found, "no form on these pages"
    case = world.case("job_odd") or {}
    letters = world.letters.listing(state=None, limit=1, after=None)[0]
    named = {b"{case}": str(case["case_id"]).encode(), b"{letter}": str(letters[0]["dead_id"]).encode()}
    named[b"{token}"], named[b"{named}"] = found[2].encode(), found[1].encode()
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items()).encode()

    def check(raw: bytes) -> Iterator[str]:
        line, _, body = raw.partition(b"\n")
        method, _, target = line.partition(b" ")
        for name, real in named.items():
            target, body = target.replace(name, real), body.replace(name, real)
        # what a server would not let through never gets here
        target = b"/" + re.sub(rb"[^\x21-\x7e]", b"", target).lstrip(b"/")
        verb = method.decode("ascii") if method in {b"GET", b"POST", b"HEAD", b"PUT", b"DELETE"} else "GET"
        sent: Headers = [HOST, FORM, (b"cookie", cookie), (b"origin", b"http://127.0.0.1:8080")]
        said = ask(site.app, verb, target, sent, body)
        if said.status >= 500:
            yield f"{verb} {target[:80]!r} was answered {said.status}"
        if "html" in said.headers.get("content-type", ""):
            harmless(said.text)
        where = said.headers.get("location", "/")
        if not where.startswith("/") or where.startswith("//") or "\\" in where or "\n" in where:
            yield f"it leads to {where[:80]!r}"

    yield check
    world.close()
    store.close()


@contextmanager
def _command(folder: Path, *words: str, redis: str) -> Iterator[Check]:
    """A file for a command: done, or refused in plain lines; no traceback, nothing that a terminal obeys."""
    folder.mkdir(parents=True, exist_ok=True)
    url, file, runner = f"sqlite:///{folder / 'fuzz.db'}", folder / "file.jsonl", CliRunner()
    give_schema(url)
    settings = {"REFUNDS_DATABASE_URL": url, "REFUNDS_REDIS_URL": redis, "REFUNDS_LOG_LEVEL": "error"}

    def check(raw: bytes) -> Iterator[str]:
        file.write_bytes(raw)
        done = runner.invoke(commands, [*words, str(file)], env=settings)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        if done.exit_code not in {0, 1}:
            yield f"exit {done.exit_code}: {done.output[-200:]}"
        if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufffe]", done.output):
            yield f"what was printed is not clean: {done.output[-200:]!r}"

    yield check


@contextmanager
def _import(folder: Path) -> Iterator[Check]:
    with _command(folder, "import", redis="redis://127.0.0.1:1/0") as check:
        yield check


@contextmanager
def _emit(folder: Path) -> Iterator[Check]:
    with start_redis(folder / "redis", appendonly=False) as server, _command(folder, "emit", redis=server.url) as check:
        yield check


def _records() -> list[bytes]:
    lines = [a_record(kind) for kind in RECORDS]
    return [b"\n".join(lines), *lines]


HANDS = (
    Parser("console", _requests, by_bytes(CONSOLE_TRICKS, head=200), _console, slowest=0.5),
    Parser("import-file", _records, by_bytes(), _import, slowest=1.0, per_mib=60.0),
    Parser("emit-file", lambda: [b"\n".join(an_event(kind) for kind in DATA)], by_bytes(), _emit, slowest=1.0, per_mib=60.0),
)
