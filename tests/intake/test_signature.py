"""Where keys are named, an event comes in only from whoever has one, and only under the source that the key speaks for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import redis as redis_py
from pydantic import SecretStr
from sqlalchemy import select

from tests.cases.world import HandClock
from tests.intake.documents import NOW, an_event
from worker.cases.dead import DeadLetters
from worker.errors import Misconfigured
from worker.intake.accept import Desk
from worker.intake.entry import Entry
from worker.intake.signature import Key, Producers
from worker.intake.stream import open_stream_client
from worker.settings import load_settings
from worker.store.engine import Store
from worker.store.tables import dead_letters, inbox

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW, OTHER = (Key(name, source, (name * 8).encode()) for name, source in
                   (("gpu-1", "/image-pipeline"), ("gpu-2", "/image-pipeline"), ("shop", "/shop")))  # fmt: skip
SECRETS = " ".join(f"{key.id}:{key.secret.decode()}:{key.source}" for key in (OLD, NEW, OTHER))


def a_desk(store: Store, secrets: str | None = SECRETS) -> Desk:
    return Desk(store, HandClock(NOW), Producers.named(SecretStr(secrets) if secrets else None))


def an_entry(number: int, raw: bytes, signature: bytes | str | None) -> Entry:
    said = signature.encode() if isinstance(signature, str) else signature
    return Entry(f"{number}-0", raw, {b"event": raw} | ({b"signature": said} if said is not None else {}))


def known(store: Store) -> list[str]:
    return [row.event_id for row in store.read(lambda tx: tx.all(select(inbox).order_by(inbox.c.id)))]


def letters(store: Store) -> list[tuple[str, str]]:
    rows = store.read(lambda tx: tx.all(select(dead_letters).order_by(dead_letters.c.key)))
    return [(row.reason, row.detail) for row in rows]


def snippets(language: str) -> list[str]:
    guide = (ROOT / "docs/joining.md").read_text().partition("## Signed events")[2]
    return re.findall(rf"^```{language}\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)


def entries_of(client: redis_py.Redis) -> list[Entry]:
    found: Sequence[tuple[bytes, dict[bytes, bytes]]] = client.xrange("layer-jobs:events")  # type: ignore[assignment]
    return [Entry(name.decode(), fields[b"event"], fields) for name, fields in found]


def test_only_what_a_known_producer_signed_comes_in(store: Store) -> None:
    raw, another = an_event(path="id", value="evt-1"), an_event(path="id", value="evt-2")
    wrong: list[bytes | str | None] = [
        None,
        "",
        OLD.sign(another),
        OLD.sign(raw).upper(),
        OLD.sign(raw)[:-1],
        OLD.sign(raw) + "0",
        OLD.sign(raw).replace("gpu-1", "gpu-2"),
        OLD.sign(raw).replace("gpu-1", "gpu-3"),
        OLD.sign(raw).partition(":")[2],
        Key("gpu-1", "/image-pipeline", b"guessed" * 8).sign(raw),
        b"\xff\xfe:\x00",
        b"x" * 100_000,
    ]
    a_desk(store).accept([an_entry(number, raw, said) for number, said in enumerate(wrong, 1)])
    assert known(store) == []
    found = letters(store)
    assert sorted(reason for reason, _ in found) == ["bad_signature"] * 11 + ["unsigned"]
    secrets = [key.secret.decode() for key in (OLD, NEW, OTHER)]
    assert not [
        detail for _, detail in found if len(detail) > 300 or any(s in detail or OLD.sign(raw) in detail for s in secrets)
    ]
    a_desk(store).accept([an_entry(20, raw, OLD.sign(raw)), an_entry(21, another, NEW.sign(another))])
    assert known(store) == ["evt-1", "evt-2"]
    assert len(letters(store)) == 12


def test_key_speaks_for_its_own_source_alone(store: Store) -> None:
    raw = an_event(path="source", value="/image-pipeline")
    a_desk(store).accept([an_entry(1, raw, OTHER.sign(raw))])
    assert known(store) == []
    assert letters(store) == [("bad_signature", 'key shop speaks for "/shop", and source is "/image-pipeline"')]


def test_forged_event_does_not_keep_the_genuine_one_out(store: Store) -> None:
    genuine = an_event(path="data.account_id", value="acc_7")
    forged = an_event(path="data.account_id", value="acc_of_a_victim")
    desk = a_desk(store)
    desk.accept([an_entry(1, forged, OTHER.sign(forged)), an_entry(2, genuine, OLD.sign(genuine))])
    [row] = store.read(lambda tx: tx.all(select(inbox)))
    assert row.account_id == "acc_7"
    assert [reason for reason, _ in letters(store)] == ["bad_signature"]


def test_key_that_was_taken_away_is_refused(store: Store) -> None:
    raw = an_event()
    left = f"{NEW.id}:{NEW.secret.decode()}:{NEW.source}"
    a_desk(store, left).accept([an_entry(1, raw, OLD.sign(raw))])
    assert [reason for reason, _ in letters(store)] == ["bad_signature"]


def test_without_keys_nothing_is_asked_and_a_signature_is_not_looked_at(store: Store) -> None:
    one, two = an_event(path="id", value="evt-1"), an_event(path="id", value="evt-2")
    a_desk(store, None).accept([an_entry(1, one, None), an_entry(2, two, "gpu-9:whatever")])
    assert known(store) == ["evt-1", "evt-2"]


def test_what_cannot_be_read_keeps_its_own_reason(store: Store) -> None:
    large, poem = b'{"a": "' + b"x" * 70_000 + b'"}', b"a poem"
    a_desk(store).accept([an_entry(1, large, None), an_entry(2, poem, OLD.sign(poem)), Entry("3-0", None, {})])
    assert [reason for reason, _ in letters(store)] == ["too_large", "not_json", "missing_field"]


def test_entry_without_an_event_keeps_its_fields_as_a_document(store: Store) -> None:
    fields = {b"evnt": '{"id": "é"}'.encode(), b"odd": b"\xff\x00"}
    a_desk(store, None).accept([Entry("1-0", None, fields)])
    [row] = store.read(lambda tx: tx.all(select(dead_letters)))
    kept = {name: value.encode(errors="surrogateescape") for name, value in json.loads(row.raw).items()}
    assert kept == {name.decode(): value for name, value in fields.items()}


def test_person_puts_an_unsigned_event_back_on_their_word(store: Store) -> None:
    a_desk(store).accept([an_entry(1, an_event(path="id", value="evt-1"), None)])
    DeadLetters(store, HandClock(NOW), None).requeue("stream:1-0", by="ann", reason="the producer was not changed yet")
    assert known(store) == ["evt-1"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gpu-1:short:/image-pipeline", "expected ID:SECRET:SOURCE, .*; number 1 is none"),
        (f"{SECRETS} gpu-9", ".*; number 4 is none"),
        (f"{SECRETS}\n{SECRETS}", "expected every ID once"),
        (" ", "expected ID:SECRET:SOURCE"),
    ],
)
def test_keys_that_are_none_are_a_fault_that_tells_no_secret(value: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=f"REFUNDS_EVENT_SECRETS: {said}") as refused:
        load_settings({"REFUNDS_EVENT_SECRETS": value})
    assert OLD.secret.decode() not in str(refused.value)


def test_keys_come_from_a_file_a_line_each_and_show_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(SECRETS.replace(" ", "\n") + "\n")
    settings = load_settings({"REFUNDS_EVENT_SECRETS_FILE": str(tmp_path / "keys")})
    producers = Producers.named(settings.event_secrets)
    assert list(producers.keys.values()) == [OLD, NEW, OTHER]
    assert not [text for text in (repr(settings), repr(producers)) if OLD.secret.decode() in text]


@pytest.mark.landing
def test_guide_is_followed_by_a_producer_and_by_emit(store: Store, redis: redis_py.Redis, redis_server: str) -> None:
    secrets = snippets("ini")[0].strip().partition("=")[2]
    (python,), (typescript,), (shell,) = (snippets(language) for language in ("python", "typescript", "bash"))
    for snippet in (python, typescript, shell):
        assert all(word in snippet for word in secrets.split(":")[:2]), "one key in all of the guide"
    subprocess.run([sys.executable, "-c", python.replace("redis://localhost:6379/0", redis_server)], check=True, timeout=60)
    event = re.findall(r"^event='(.*)'$", shell, re.MULTILINE)[0]
    told = {**os.environ, "REFUNDS_REDIS_URL": redis_server, "REFUNDS_EVENT_SECRETS": secrets}
    lines = f"{event}\n{event.replace('/image-pipeline', '/shop')}\n".encode()
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "emit", "-"], input=lines, env=told, cwd=ROOT, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert b'line 2: goes to the dead letters: no key of REFUNDS_EVENT_SECRETS speaks for "/shop"' in done.stderr
    with open_stream_client(redis_server) as client:
        Desk(store, HandClock(NOW + timedelta(days=365)), Producers.named(SecretStr(secrets))).accept(entries_of(client))
    assert known(store) == ["evt-2", "evt-3"]
    assert [reason for reason, _ in letters(store)] == ["unsigned"]
