"""Configuration: environment variables with the prefix `REFUNDS_` (contract.md, "Configuration").

Every fault is reported at once, by name, with what would be right. A variable with the prefix that no setting knows is a
fault too: a misspelt name would otherwise switch something off in silence. An empty variable is one that is not set.
"""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.errors import Misconfigured
from worker.urls import REDIS, redis_address, url_of, with_our_driver

PREFIX = "REFUNDS_"
TEST_PREFIX = "REFUNDS_TEST_"
FILE = "_FILE"
"""What ends the name of a variable that names a file with the value in it: a secret that a platform mounts."""
PLACEHOLDER = "CHANGE-ME"
"""What stands in the manifests where a secret belongs: everybody knows it."""
GROUP = "refunds"
"""Under which the live installation reads the stream, and what its keys in Redis begin with."""
OBSERVER = "observer:"
"""What the group of an observer begins with."""
DEFAULT_TERMS = Path(__file__).resolve().parent.parent / "policy" / "terms"


class Mode(StrEnum):
    """How far the worker may go (contract.md): everything, no money, or nothing but deciding."""

    FULL = "full"
    CREDITS_ONLY = "credits_only"
    OBSERVE = "observe"


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _like(pattern: str, right: str) -> BeforeValidator:
    def check(value: object) -> object:
        if value is not None and not (isinstance(value, str) and re.fullmatch(pattern, value)):
            raise ValueError(f"expected {right}")
        return value

    return BeforeValidator(check)


def _unpadded(value: object) -> object:
    # from a line of YAML with one blank too many: a stream that nobody writes to, a folder of claims within the container
    if isinstance(value, str) and value != value.strip():
        raise ValueError("expected nothing blank around it")
    return value


def _readable(value: object) -> object:
    if isinstance(value, str) and is_utf8(value) and not value.isprintable():
        raise ValueError("expected nothing in it that cannot be seen")
    return value


EVENT_SECRET = re.compile(r"([A-Za-z0-9._-]{1,64}):([A-Za-z0-9+/=_-]{32,256}):([!-~]{1,256})")
"""Name, secret and source of a producer's key, as `REFUNDS_EVENT_SECRETS` lists them."""


def _event_secrets(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = [EVENT_SECRET.fullmatch(word) for word in value.split()]
    names = [matched[1] for matched in found if matched]
    if not found or len(names) != len(found):
        wrong = next((number for number, matched in enumerate(found, 1) if not matched), 0)
        right = "ID:SECRET:SOURCE, more of them after a space or on lines of their own, each SECRET 32 letters and digits or more"
        raise ValueError(f"expected {right}; number {wrong} is none")
    if len(set(names)) != len(names):
        raise ValueError("expected every ID once; for another secret or source take another ID")
    return value


Folder = Annotated[Path, BeforeValidator(_unpadded)]
Name = Annotated[str, BeforeValidator(_readable), BeforeValidator(_unpadded)]
ShortName = _like(r"[a-z0-9][a-z0-9-]{0,39}", "a short name of small letters, digits and dashes like next")
MailAddress = _like(
    r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*",
    "a plain mail address like support@example.org, without a name before it",
)


class Settings(BaseSettings):
    """What the processes are told from outside; see docs/settings.md."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `load_settings` gives and nothing else: what it left out of the environment would come back by another door."""
        return (init_settings,)

    database_url: Annotated[
        str,
        url_of(
            "sqlite",
            "postgresql+psycopg",
            "postgresql",
            "postgres",
            example="postgresql+psycopg://user@host/database or sqlite:///refunds.db",
            plain=False,
        ),
        AfterValidator(with_our_driver),
        Field(repr=False),
    ] = "sqlite:///refunds.db"
    redis_url: Annotated[
        str, url_of("redis", "rediss", "unix", example=REDIS), AfterValidator(redis_address), Field(repr=False)
    ] = REDIS
    stream: Name = "layer-jobs:events"
    commands_stream: Name = "layer-jobs:commands"
    outcomes_stream: Name = "refunds:events"
    event_secrets: Annotated[SecretStr | None, BeforeValidator(_event_secrets)] = None
    """Keys of the producers, `ID:SECRET:SOURCE` each; none: whoever can write to the stream is believed."""

    creem_api_key: SecretStr | None = None
    creem_base_url: Annotated[str | None, url_of("http", "https", example="https://test-api.creem.io"), Field(repr=False)] = None
    creem_environment: Literal["test", "live"] | None = None
    """Whose money it is where another process has the key, and this one has none."""
    creem_webhook_secret: SecretStr | None = None

    balance_table: str | None = None
    """The product's own table of balances in this database, as `public.profiles(account=id, balance=credits)`; none: credits live
    in our ledger alone."""
    balance_entries: str | None = None
    """Where it keeps what happened to them, as `public.credit_entries(key=reference, account=user_id, credits=amount)`."""

    creem_credits: str | None = None
    """The name of the accounts in which customers have their credits at Creem; none: they have none there."""

    pipeline_url: Annotated[str | None, url_of("http", "https", example="http://pipeline.internal:8000"), Field(repr=False)] = (
        None
    )
    mode: Mode = Mode.FULL
    observer: Annotated[str | None, ShortName] = None
    """The name of an installation that only watches: it reads the live one's stream with a database of its own, and no effect."""
    mail_dir: Folder | None = None
    people_seconds: float = Field(10.0, gt=0, le=300)
    """How often mails are taken in, files deleted and notices sent."""
    mail_hosts: str = ""
    """The names our own mail host gives itself in `Authentication-Results`, with commas; without one no sender is vouched for."""
    evidence_dir: Folder = Path("evidence")
    """Where the files of customers lie until they are deleted: outside the database, readable by us alone."""
    notices_url: Annotated[
        str | None,
        url_of("smtp", "smtps", "file", example="smtp://user:password@mail.internal:587?starttls=required", plain=False),
    ] = Field(None, repr=False)
    """How customers are written to: a mail server, or `file:///folder` for development; none: nobody is written to."""
    notices_from: Annotated[str, MailAddress] = "support@localhost"
    notices_reply_to: Annotated[str | None, MailAddress] = None
    notices_gather_seconds: float = Field(60.0, ge=0, le=3600)
    """How long a notice waits for others of its kind to the same account: an incident is one mail."""
    notices_timeout_seconds: float = Field(20.0, gt=0, le=60)
    web_host: str = "127.0.0.1"
    web_port: int = Field(8080, ge=1, le=65535)
    ready_backlog_seconds: float = Field(120, gt=0)
    """How long an event may wait before `/readyz` says no."""
    console_password: Annotated[SecretStr | None, BeforeValidator(_none_if_blank)] = None
    console_hosts: str = ""
    """Names under which the console may be asked for besides its own address, with commas."""
    flower_url: Annotated[str | None, url_of("http", "https", example="http://localhost:5555")] = None
    """Where people reach Flower; cases then link to their tasks."""

    terms_dir: Folder = DEFAULT_TERMS
    batch: int = Field(500, ge=1, le=5000)
    """Most inbox rows one assess transaction takes."""
    hints: bool = True
    """Off: nothing is sent to Celery after a commit and the sweeps alone do the work (slower, and just as right)."""
    sweep_seconds: float = Field(2.0, gt=0, le=300)
    reconcile_seconds: float = Field(3600.0, gt=0, le=86400)
    reconcile_days: int = Field(60, ge=1, le=3650)
    """How far back reconcile compares purchases: Creem may refund by itself within 60 days (creem-api.md, 17)."""
    claim_seconds: float = Field(30.0, ge=1, le=600)
    """How long the work of a process that died stays claimed before another takes it."""
    max_attempts: int = Field(5, ge=1, le=100)
    stream_retention_hours: float = Field(72, gt=0)
    sent_retention_hours: float = Field(168, gt=0)
    """How long commands and outcomes stay; longer only for a group that has not acknowledged them."""
    concurrency: int = Field(2, ge=1, le=256)
    """Child processes of the worker that `refunds worker` starts."""
    pipeline_timeout_seconds: float = Field(10.0, gt=0, le=60)
    creem_timeout_seconds: float = Field(20.0, gt=0, le=30)
    """From the read before a refund to the last byte of its answer; a single read gets half of it."""
    journal_dir: Folder | None = None
    """Where every call that may move money is written down before it is made: outside the database and its backups. The same
    folder for every process that pays."""
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    actor: Name | None = None
    """Who is at the keyboard, for the record; the login name where it is not set."""

    @property
    def group(self) -> str:
        """What sets this installation apart from others on the same Redis: its consumer group, and what its keys begin with."""
        return GROUP if self.observer is None else f"{OBSERVER}{self.observer}"

    @property
    def sent_streams(self) -> tuple[str, ...]:
        """What we write for others to read; an observer writes for nobody."""
        return () if is_observer(self.group) else (self.commands_stream, self.outcomes_stream)


def is_observer(group: str) -> bool:
    """True where the consumer group of the stream is an observer's."""
    return group.startswith(OBSERVER)


Fit = Callable[[Mapping[str, str]], Iterable[str]]
"""What names the settings that cannot be, by values that are not yet validated."""
_STREAMS = ("stream", "commands_stream", "outcomes_stream")
_NOT_FOR_OBSERVERS = {
    "outcomes_stream": "announces nothing",
    "mail_dir": "would take the mails of the live installation away",
    "journal_dir": "makes no calls to keep a journal of",
    "balance_table": "touches no balances",
    "creem_credits": "touches no balances",
    "notices_url": "writes to nobody",
}


def load_settings(environ: Mapping[str, str] | None = None, fit: Fit = lambda _: (), late: Fit = lambda _: ()) -> Settings:
    """The settings of this process. Raises `Misconfigured` with one line for every fault there is.

    `fit` says what only the layers above know; it gets the values by their names in `Settings`. `late` says what is no reason to
    refuse here, for much can be done without it, and is told to whoever has to mend something anyway. A variable that is wrong
    by itself is named once.
    """
    environ, faults = _with_files(os.environ if environ is None else environ)
    faults += _unknown_names(environ)
    if not __debug__:
        faults.append("PYTHONOPTIMIZE: it (or -O) takes the checks out of this code that nothing wrong gets past; unset it")
    ours = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if value and name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() in Settings.model_fields
    }
    faults += _not_utf8(ours)
    faults += _placeholders(ours)
    faults += _as_observer(ours)
    try:
        settings = Settings.model_validate(ours, by_name=True)
    except ValidationError as error:
        faults += [f"{PREFIX}{str(e['loc'][0]).upper()}: {_right(e['msg'])}" for e in error.errors(include_url=False)]
    faults += _new(faults, (*_together(ours), *fit(ours)))
    if faults:
        raise Misconfigured(*faults, *_new(faults, late(ours)))
    return settings


def _new(faults: Iterable[str], more: Iterable[str]) -> list[str]:
    named = {fault.partition(":")[0] for fault in faults}
    return [fault for fault in more if fault.partition(":")[0] not in named]


def is_utf8(word: str) -> bool:
    """True for a word of the environment or command line that was text; the bytes of others come as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def _not_utf8(ours: dict[str, str]) -> list[str]:
    """Takes out what is no text, but for folders, whose names may be any bytes; returns its names."""
    wrong = [name for name, value in ours.items() if not is_utf8(value) and not name.endswith("_dir")]
    for name in wrong:
        del ours[name]
    return [f"{PREFIX}{name.upper()}: expected text in UTF-8" for name in wrong]


def _placeholders(ours: dict[str, str]) -> list[str]:
    """Takes out what still holds what the manifests have in place of a secret; returns its names."""
    held = [name for name, value in ours.items() if PLACEHOLDER in value]
    for name in held:
        del ours[name]
    return [f"{PREFIX}{name.upper()}: {PLACEHOLDER} stands for a value of your own; everybody knows it" for name in held]


def _as_observer(ours: dict[str, str]) -> list[str]:
    """Makes the settings of an observer those of one that can have no effect; returns what in them would have had one."""
    name = ours.get("observer")
    if not name:
        return []
    faults = [
        f"{PREFIX}{setting.upper()}: an observer {why}; leave it out"
        for setting, why in _NOT_FOR_OBSERVERS.items()
        if ours.get(setting)
    ]
    if ours.setdefault("mode", Mode.OBSERVE.value) != Mode.OBSERVE.value:
        faults.append(f"{PREFIX}MODE: an observer carries nothing out; leave it out, or set it to observe")
    ours["outcomes_stream"] = f"{OBSERVER}{name}:events"
    return faults


def _together(ours: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with settings that rule one another out, or of which one needs the other."""
    streams = {name: ours.get(name) or Settings.model_fields[name].default for name in _STREAMS}
    for one, other in combinations(streams, 2):
        if streams[one] == streams[other]:
            # we would read what we write
            yield f"{PREFIX}{other.upper()}: {streams[other]} is {PREFIX}{one.upper()} too; give each a stream of its own"
    if ours.get("creem_credits") and ours.get("balance_table"):
        yield f"{PREFIX}CREEM_CREDITS: credits live in one place; {PREFIX}BALANCE_TABLE is set as well"
    if ours.get("creem_credits") and not (ours.get("creem_api_key") or ours.get("creem_environment")):
        yield f"{PREFIX}CREEM_CREDITS: credits at Creem need a {PREFIX}CREEM_API_KEY"
    if ours.get("balance_entries") and not ours.get("balance_table"):
        yield f"{PREFIX}BALANCE_ENTRIES: there are entries only with a {PREFIX}BALANCE_TABLE"


def _right(message: str) -> str:
    return message.removeprefix("Value error, ")


def _with_files(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The environment with every `REFUNDS_X_FILE` read into `REFUNDS_X`, less a line end at its end; and what is wrong."""
    found, faults = dict(environ), list[str]()
    for name in sorted(environ):
        setting = name.removesuffix(FILE)
        if setting == name or not setting.startswith(PREFIX) or setting.removeprefix(PREFIX).lower() not in Settings.model_fields:
            continue
        path = found.pop(name)
        if not path:
            continue
        if environ.get(setting):
            faults.append(f"{name}: {setting} is set as well; keep one of them")
            continue
        try:
            found[setting] = Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{name}: {path} cannot be read ({error.strerror if isinstance(error, OSError) else 'not text'})")
    return found, faults


def _unknown_names(environ: Mapping[str, str]) -> list[str]:
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    faults = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else "no setting has this name"
            faults.append(f"{name}: unknown setting; {hint}")
    return faults
