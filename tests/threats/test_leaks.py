"""Canaries: secrets and personal texts go in everywhere, and come out nowhere they should not."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.logs import heard
from tests.requests.world import PeopleWorld
from tests.web.console.site import PASSWORD, Site
from tests.web.test_app import Site as Receiving
from tests.web.test_app import a_refund, signed
from worker.store.engine import Store

SECRETS = {
    name: f"canary-{name}-7Qd2mVx0aLkR" for name in ("endpoint", "shared", "wrong", "message", "stage", "subject", "body", "file")
}
ADDRESS = "canary.person@example.org"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """Everything that is logged, at the most talkative level."""
    with heard() as written:
        yield written


def test_no_canary_is_in_logs_pages_redis_or_task_arguments(store: Store, tmp_path: Path, said: io.StringIO) -> None:
    world = PeopleWorld(store, tmp_path)
    world.bought_once("ord_1", "acc_1")
    why = {"code": "model_error", "message": SECRETS["message"], "stage": SECRETS["stage"]}
    world.happen(world.submitted("job_1"), world.failed("job_1", failure=why), f'{{"broken": "{SECRETS["message"]}"')
    text = f"Please refund ord_1. {SECRETS['body']}"
    world.mail(text, subject=SECRETS["subject"], sender=ADDRESS, files={SECRETS["file"]: SECRETS["file"].encode()})
    world.sweep()

    receiving = Receiving(store, secrets=(SECRETS["endpoint"],))
    assert receiving.deliver(a_refund()).status_code == 401
    assert receiving.deliver(a_refund(), signed(a_refund(), SECRETS["endpoint"])).status_code == 200

    site = Site(world, password=SECRETS["shared"], raises=False)
    known, stranger = site.browser(), site.browser("127.0.0.2")
    pages = [known.sign_in("console", SECRETS["shared"]), stranger.sign_in("console", SECRETS["wrong"]), stranger.get("/cases")]
    pages += [known.get(path) for path in ("/", "/cases", "/review", "/dead", "/accounts/acc_1", "/overdue", "/no/such/page")]
    assert known.get("/cases").status_code == 200

    # what was logged is something, and holds no secret and nothing a customer wrote
    log = said.getvalue()
    assert "webhook.received" in log
    assert "webhook.unsigned" in log
    everywhere = [*SECRETS.values(), ADDRESS, PASSWORD]
    assert [each for each in everywhere if each in log] == []
    # pages show people what customers wrote, and nobody a password or a secret
    shown = "".join(page.text + json.dumps(dict(page.headers)) for page in pages)
    assert [SECRETS[name] for name in ("endpoint", "shared", "wrong") if SECRETS[name] in shown] == []
    assert ADDRESS not in stranger.get("/cases").text
    # what is told to the product, and what hints say, are ids
    stored = json.dumps(world.announced()) + repr(world.redis.keys()) + repr(receiving.hints)
    assert "job_1" in stored
    assert [each for each in everywhere if each in stored] == []
    world.close()
