"""Secrets from files: `REFUNDS_X_FILE` is read into `REFUNDS_X`, and what cannot be read is said."""

import os
import re
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from ssl import CERT_REQUIRED

import pytest

from worker.broker import celery_of
from worker.errors import Misconfigured
from worker.intake.stream import open_stream_client
from worker.runtime import unfit
from worker.settings import PREFIX, Settings, load_settings

KEY = "REFUNDS_CREEM_API_KEY"
ROOT = Path(__file__).resolve().parents[2]
PAPER = (ROOT / "docs" / "settings.md").read_text()
IN_WORDS = {
    "creem_environment": "by the key",
    "creem_base_url": "by the key",
    "terms_dir": "the shipped terms",
    "hints": "on",
    "actor": "login name",
}
"""The defaults that the paper says in words."""


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_address_of_a_postgres_is_taken_as_hosts_write_it(scheme: str) -> None:
    settings = load_settings({"REFUNDS_DATABASE_URL": f"{scheme}://u@host/x"})
    assert settings.database_url == "postgresql+psycopg://u@host/x"


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("redis://h:6379/abc", "the number of a database after the host, as in redis://localhost:6379/0"),
        ("redis://h/1/2", "the number of a database after the host"),
        ("redis:///5", "the host, as in redis://localhost:6379/0"),
        ("rediss:///", "the host, as in redis://localhost:6379/0"),
        ("redis://h/-1", "the number of a database after the host"),
        ("redis://h?db=2", "the option db is not .*; redis:// takes none; a database is named as in redis://localhost:6379/0"),
        ("redis://h/0?socket_timeout=3", "the option socket_timeout "),
        ("redis://h/0?socket_timeout=abc", "the option socket_timeout "),
        ("redis://h/0?protocol=3", "the option protocol "),
        ("redis://h/0?max_connections=5", "the option max_connections "),
        ("redis://h/0?client_name=x", "the option client_name "),
        ("redis://h/0?foo=bar", "the option foo "),
        ("redis://h/0?foo", "the option foo "),
        ("redis://h/0?ssl_cert_reqs=none", "the option ssl_cert_reqs "),
        ("rediss://h/0?foo=bar", "the option foo .*; rediss:// takes ssl_cert_reqs, "),
        ("rediss://h/0?ssl_min_version=771", "the option ssl_min_version "),
        ("rediss://h/0?ssl_ca_certs=a&ssl_ca_certs=b", "the option ssl_ca_certs .* each once"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "none or optional or required for the option ssl_cert_reqs"),
        ("rediss://h/0?ssl_check_hostname=0", "true or false for the option ssl_check_hostname"),
        ("unix:///run/redis.sock?db=nine", "a number for the option db"),
        ("unix:///run/redis.sock?virtual_host=9", "the option virtual_host .*; unix:// takes db, each once"),
        ("unix://run/redis.sock", "unix:///run/redis/redis.sock"),
        ("unix:///", "unix:///run/redis/redis.sock"),
        ("redis:h", "a URL like redis://localhost:6379/0"),
        ("redis://u:123?canary=1@h", "a URL like redis://localhost:6379/0; in a user name or password write"),
    ],
)
def test_redis_address_that_only_some_of_those_who_open_it_understand_is_refused_with_what_would_be_right(
    url: str, right: str
) -> None:
    with pytest.raises(Misconfigured, match=f"^REFUNDS_REDIS_URL: .*{right}") as refused:
        load_settings({"REFUNDS_REDIS_URL": url})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "db"),
    [
        ("redis://h", 0), ("redis://h/", 0), ("redis://:p%40w@h", 0), ("redis://u:p%25;w@h:1/12", 12), ("rediss://h:1/3", 3),
        ("rediss://h/3?ssl_ca_certs=/ca.crt&ssl_check_hostname=false", 3),
    ],
)  # fmt: skip
def test_redis_address_that_is_taken_means_the_same_to_us_and_to_celery(url: str, db: int) -> None:
    settings = load_settings({"REFUNDS_REDIS_URL": url})
    ours = open_stream_client(settings.redis_url).connection_pool.connection_kwargs
    with celery_of(settings) as app, app.connection_for_write() as connection:
        theirs = connection.info()
    assert ours.get("db", 0) == int(theirs["virtual_host"].strip("/") or 0) == db
    told = {"host": "hostname", "username": "userid", "password": "password"}
    assert [ours.get(name) for name in told] == [theirs[name] for name in told.values()]
    options = {name: value for name, value in ours.items() if name.startswith("ssl_")}
    # the certificate is asked for: redis-py does of itself
    assert options | {"ssl_cert_reqs": CERT_REQUIRED} == theirs["ssl"] if url.startswith("rediss:") else not theirs["ssl"]


def test_value_comes_from_the_file_without_the_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("creem_test_secret\n")
    found = load_settings({f"{KEY}_FILE": str(tmp_path / "key")}).creem_api_key
    assert found is not None
    assert found.get_secret_value() == "creem_test_secret"


def test_what_stands_in_a_file_is_read_as_utf8_whatever_the_host_speaks(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("größer als gedacht", "utf-8")
    code = "from worker.settings import load_settings; print(ascii(load_settings().console_password.get_secret_value()))"
    speaks = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    environ = speaks | {"REFUNDS_CONSOLE_PASSWORD_FILE": str(tmp_path / "password")}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ascii("größer als gedacht") + "\n", done.stderr


def test_command_in_a_folder_that_is_gone_says_so_and_names_no_defect(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = ["sh", "-c", 'rmdir "$PWD"; exec "$0" -P -m worker.cli status', sys.executable]
    environ = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(line, cwd=gone, env=environ, capture_output=True, text=True, timeout=60, check=False)
    said = "refunds: REFUNDS_EVIDENCE_DIR: the folder that this was started in is gone; change into one that is there\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_every_setting_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "batch").write_text("7")
    assert load_settings({"REFUNDS_BATCH_FILE": str(tmp_path / "batch")}).batch == 7


def test_faults_of_what_stands_in_a_file_are_named_without_the_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("hunter2\n")
    with pytest.raises(Misconfigured) as refused:
        load_settings({"REFUNDS_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert "REFUNDS_DATABASE_URL" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_file_that_cannot_be_read_is_a_fault_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match=f"{KEY}_FILE: .*key cannot be read"):
        load_settings({f"{KEY}_FILE": str(path)})


def test_value_and_file_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("one")
    with pytest.raises(Misconfigured, match=f"{KEY} is set as well"):
        load_settings({KEY: "other", f"{KEY}_FILE": str(tmp_path / "key")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "full"), ("MAIL_DIR", "mail"), ("OUTCOMES_STREAM", "refunds:events"), ("NOTICES_URL", "smtp://mail"),
        ("JOURNAL_DIR", "j"), ("BALANCE_TABLE", "public.profiles(account=id, balance=credits)"), ("CREEM_CREDITS", "default"),
    ],
)  # fmt: skip
def test_setting_that_would_have_an_effect_is_refused_to_an_observer(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"REFUNDS_{name}: an observer "):
        load_settings({"REFUNDS_OBSERVER": "next", f"REFUNDS_{name}": value})


def test_observer_has_names_of_its_own_and_carries_nothing_out() -> None:
    found = load_settings({"REFUNDS_OBSERVER": "next"})
    assert (found.group, found.outcomes_stream, found.mode) == ("observer:next", "observer:next:events", "observe")
    live = load_settings({})
    assert (live.group, live.outcomes_stream, live.mode) == ("refunds", "refunds:events", "full")
    assert (found.sent_streams, live.sent_streams) == ((), ("layer-jobs:commands", "refunds:events"))
    with pytest.raises(Misconfigured, match="expected a short name"):
        load_settings({"REFUNDS_OBSERVER": "next one"})


def test_misspelt_file_variable_is_unknown() -> None:
    with pytest.raises(Misconfigured, match="REFUNDS_CREEM_API_KEI_FILE: unknown setting"):
        load_settings({"REFUNDS_CREEM_API_KEI_FILE": "/nowhere"})


@pytest.mark.parametrize("name", ["CONSOLE_PASSWORD", "CREEM_WEBHOOK_SECRET", "CREEM_API_KEY", "ACTOR", "DATABASE_URL", "MODE"])
def test_value_that_is_no_text_is_named_once_and_not_shown(name: str) -> None:
    environ = {f"REFUNDS_{name}": os.fsdecode(b"p\xe4ss"), "REFUNDS_BATCH": "none"}
    with pytest.raises(Misconfigured) as caught:
        load_settings(environ, fit=unfit)
    ours, batch = caught.value.faults
    assert ours == f"REFUNDS_{name}: expected text in UTF-8"
    assert batch.startswith("REFUNDS_BATCH: ")


def test_folder_may_be_named_with_any_bytes() -> None:
    assert load_settings({"REFUNDS_MAIL_DIR": os.fsdecode(b"p\xe4ss")}).mail_dir == Path(os.fsdecode(b"p\xe4ss"))


def test_value_that_still_holds_the_manifests_placeholder_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("creem_test_CHANGE-ME\n")
    environ = {"REFUNDS_CONSOLE_PASSWORD": "CHANGE-ME", "REFUNDS_CREEM_API_KEY_FILE": str(tmp_path / "key")}
    with pytest.raises(Misconfigured) as refused:
        load_settings(environ)
    said = "CHANGE-ME stands for a value of your own; everybody knows it"
    assert sorted(refused.value.faults) == [f"REFUNDS_CONSOLE_PASSWORD: {said}", f"REFUNDS_CREEM_API_KEY: {said}"]


def test_blank_console_password_is_none() -> None:
    assert load_settings({"REFUNDS_CONSOLE_PASSWORD": "   "}).console_password is None


def test_empty_variable_is_one_that_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "batch").write_text("7")
    empty = {f"REFUNDS_{name.upper()}": "" for name in Settings.model_fields}
    assert load_settings(empty, fit=unfit) == load_settings({})
    assert load_settings({f"{name}_FILE": "" for name in empty}, fit=unfit) == load_settings({})
    assert load_settings(empty | {"REFUNDS_BATCH_FILE": str(tmp_path / "batch")}).batch == 7
    with pytest.raises(Misconfigured, match="REFUNDS_BATHC: unknown setting"):
        load_settings({"REFUNDS_BATHC": ""})


def test_the_paper_has_every_setting_with_its_default() -> None:
    said: dict[str, str] = {}
    for names, defaults in re.findall(rf"^\| (`{PREFIX}[^|]+) \| ([^|]+) \|", PAPER, re.MULTILINE):
        listed = [name.strip("`").removeprefix(PREFIX).lower() for name in names.split(", ")]
        said |= dict(zip(listed, defaults.replace("`", "").split(", "), strict=True))
    assert said == {name: IN_WORDS.get(name) or in_figures(field.default) for name, field in Settings.model_fields.items()}


def in_figures(default: object) -> str:
    """The default as the paper writes it."""
    if isinstance(default, StrEnum):
        return default.value
    return f"{default:g}" if isinstance(default, float) else str(default or "none")
