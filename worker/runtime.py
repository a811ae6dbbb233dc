"""The composition root: the one place where settings become collaborators. Entry points ask here; nothing below knows it
exists.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import redis

from policy import Editions, TermsError, load_editions
from worker import disk
from worker.calendars import calendar_of
from worker.cases.assess.assessor import OWN_HINT, Assessor
from worker.cases.assess.drain import Drain
from worker.cases.assess.first_hand import FirstHand
from worker.cases.assess.imports import Importer
from worker.cases.book.bench import Bench
from worker.cases.chain.chainer import Chainer
from worker.cases.chain.heads import Heads
from worker.cases.chain.restored import Forgiver
from worker.cases.dead import DeadLetters
from worker.cases.editions.editions import hold
from worker.cases.effects.book_at_creem import BooksAtCreem
from worker.cases.effects.effects import Performer
from worker.cases.effects.notifier import Mailer, Notifier
from worker.cases.money.clocks import database_time
from worker.cases.money.epoch import Watch, Witnesses
from worker.cases.money.journal import Journal
from worker.cases.money.pay import Payer
from worker.cases.money.restore import Restorer
from worker.cases.money.settle import Settler
from worker.cases.move import Mover
from worker.cases.reconcile.reconcile import Reconciler
from worker.cases.requests.evidence import Evidence
from worker.cases.requests.files import Files
from worker.cases.requests.maildir import Maildir
from worker.cases.requests.mailroom import Mailroom
from worker.cases.requests.mark import Mark
from worker.cases.requeue import Requeuer
from worker.cases.review.reviewer import Reviewer
from worker.cases.sweep import Sweeper
from worker.clock import ROUND_SECONDS, Clock, Every, SharedClock, SystemClock, elapsed, new_id
from worker.credits.at_creem import AtCreem
from worker.credits.balances import Balances, misnamed
from worker.credits.ledger import Ledger
from worker.creem.client import CreemHttp
from worker.creem.environment import Address, Environment, address_of
from worker.creem.receive import Accepts
from worker.errors import Misconfigured, Refused, TryLater
from worker.intake.accept import Desk
from worker.intake.signature import Producers
from worker.intake.stream import open_stream_client, refuse_cluster
from worker.notices.mail.postbox import place_of, postbox_of
from worker.notices.outcomes import OutcomeStream
from worker.operators.operators import Operators
from worker.patience import Patience
from worker.reruns import PipelineHttp, PipelineStream, Reruns
from worker.reruns import http as pipeline
from worker.settings import Mode, Settings
from worker.store.engine import Store, parts_of
from worker.store.schema import name_of, require_current, take_for
from worker.store.sqlite import file_of
from worker.urls import with_our_driver

FIRST_FAULTS = 3
"""So many faults of the terms are said by every command; `refunds policy check` says them all."""
LOOK_SECONDS = 60.0
"""How often a process looks whether its database is still fit."""
LONGEST_TASK = 75.0
"""Seconds that a task may take by itself: less than Celery's soft limit, which ends it wherever it stands."""


def unfit(values: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with settings that are not yet validated, as far as only those who use them can say: the addresses of the
    database, the pipeline and notices, the Creem key, by itself or at its host, the tables of balances, the folder of customers'
    files.
    """
    database = None
    try:
        database = file_of(parts_of(values.get("database_url") or Settings.model_fields["database_url"].default))
    except Misconfigured as error:
        yield f"REFUNDS_DATABASE_URL: {error}"
    # where a disk does not answer, nobody can tell; what runs beside it may start
    try:
        yield from disk.patience().look(lambda: list(_not_apart(values, database)))
    except TimeoutError:
        pass
    except FileNotFoundError:
        yield "REFUNDS_EVIDENCE_DIR: the folder that this was started in is gone; change into one that is there"
    try:
        if address := values.get("pipeline_url"):
            pipeline.parts_of(address)
    except Misconfigured as error:
        yield from error.faults
    key, named, notices = values.get("creem_api_key"), values.get("creem_environment"), values.get("notices_url")
    try:
        if key:
            found = address_of(key, values.get("creem_base_url") or None).environment.value
            if named and named != found:
                yield f"REFUNDS_CREEM_ENVIRONMENT: {named}, and REFUNDS_CREEM_API_KEY is for {found}"
    except Misconfigured as error:
        yield from error.faults
    yield from misnamed(values.get("balance_table") or None, values.get("balance_entries") or None)
    try:
        if notices:
            place_of(notices)
    except ValueError as error:
        yield f"REFUNDS_NOTICES_URL: {error}"


def without_terms(values: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the folder of terms, which only those need who decide or explain."""
    folder = values.get("terms_dir")
    if folder and not any(Path(folder).glob("*.toml")):
        yield f"REFUNDS_TERMS_DIR: {folder}: no terms here; expected at least one file like 2025-12-03.toml"


def _not_apart(values: Mapping[str, str], database: Path | None) -> Iterator[str]:
    """What lies in the folder of customers' files or holds it: files are deleted there, and no backup keeps it."""
    folder = Path(values.get("evidence_dir") or Settings.model_fields["evidence_dir"].default)
    beside = {"REFUNDS_MAIL_DIR": values.get("mail_dir"), "REFUNDS_JOURNAL_DIR": values.get("journal_dir")}
    for name, other in (beside | {"REFUNDS_DATABASE_URL": database}).items():
        if other and disk.nested(folder, Path(other)):
            yield f"REFUNDS_EVIDENCE_DIR: {folder} is, holds or lies in {other} ({name}); give it a folder of its own"


@dataclass
class Runtime:
    """Everything a process needs, made on first use. `ready()` first checks that the schema is the one this release knows."""

    settings: Settings
    clock: Clock
    _looks: Every = field(default_factory=lambda: Every(LOOK_SECONDS), repr=False, compare=False)
    _unfit: bool = field(default=False, repr=False, compare=False)

    @classmethod
    def start(cls, settings: Settings) -> "Runtime":
        """A runtime by the database's clock; by the host's where the database has none, or does not answer yet."""
        runtime = cls(settings, SystemClock())
        if runtime.store.dialect == "postgresql":
            # one that stands still keeps nobody who only wants to know the time
            patience = Patience()
            runtime.clock = SharedClock(lambda: patience.look(lambda: runtime.store.read(database_time)), runtime.clock)
        return runtime

    def ready(self) -> "Runtime":
        """This runtime, once the database is there with the schema of this release and not of another installation.

        Raises `Misconfigured` or `TryLater`.
        """
        require_current(self.store, self.settings.group)
        return self

    def taking(self) -> "Runtime":
        """This runtime, ready, and sure of the time. Raises `Misconfigured` or `TryLater`."""
        self.ready()
        self.sure_of_the_time()
        return self

    def sure_of_the_database(self) -> None:
        """Raises `Misconfigured` where the database has become one that nothing is to be decided in since this process began:
        looked at once a minute, and each time after it was found so.
        """
        if not (self._unfit or self._looks.due()):
            return
        try:
            self.ready()
            self._unfit = False
        except Misconfigured:
            self._unfit = True
            raise
        except TryLater:
            # whatever needs a server that is away, or a table that is held, says so by itself
            if self._unfit:
                raise

    def sure_of_the_time(self) -> None:
        """Raises `TwoTimes` where the database's time is days from this host's, and no earlier answer bears it out."""
        if isinstance(self.clock, SharedClock):
            self.clock.sure()

    def judging(self) -> "Runtime":
        """The same with terms that may be decided by. Raises `Misconfigured` or `TryLater`."""
        self.taking()
        self.store.write(lambda tx: hold(tx, self.editions))
        return self

    def deciding(self) -> "Runtime":
        """The same for a process of the installation, which this database is of from now on: the tables of the product may be
        booked in, too. Raises `Misconfigured` or `TryLater`.
        """
        self.judging()
        self.store.write(lambda tx: take_for(tx, self.settings.group))
        home = self.home
        if home is not None:
            self.store.write(lambda tx: home.begin(tx, self.clock.now()))
        return self

    @cached_property
    def store(self) -> Store:
        """The database."""
        return Store(self.settings.database_url)

    @cached_property
    def database(self) -> str:
        """What tells this database from every other. Raises `TryLater` while it is away."""
        return self.store.write(lambda tx: name_of(tx, new_id("db", self.clock.now())))

    @cached_property
    def redis(self) -> redis.Redis:
        """Redis, with time limits on everything: a stream read blocks shorter than the socket waits.

        Raises `Misconfigured` where it is a node of a Redis Cluster.
        """
        client = open_stream_client(self.settings.redis_url)
        refuse_cluster(client)
        return client

    @cached_property
    def editions(self) -> Editions:
        """Every edition of the terms. Raises `Misconfigured` naming file, key and what would be right of the first faults."""
        if faults := [*without_terms({"terms_dir": str(self.settings.terms_dir)})]:
            raise Misconfigured(*faults)
        try:
            return load_editions(self.settings.terms_dir)
        except (TermsError, OSError) as error:
            faults = str(error).splitlines()
            more = len(faults) - FIRST_FAULTS
            said = [f"\N{HORIZONTAL ELLIPSIS} and {more} more: `refunds policy check` names them all"] if more > 0 else []
            raise Misconfigured(*faults[:FIRST_FAULTS], *said) from error

    @cached_property
    def bench(self) -> Bench:
        """What judging needs."""
        calendars = {terms.edition: calendar_of(terms) for terms in self.editions}
        told = self.settings.notices_url is not None and self.settings.mode is not Mode.OBSERVE
        return Bench(self.editions, calendars, self.settings.mode, told)

    @cached_property
    def home(self) -> Balances | AtCreem | None:
        """Where customers see their credits, if not here: the product's own table, or their accounts at Creem.

        Raises `Misconfigured`, a line a fault, or `TryLater`.
        """
        table, entries, name = self.settings.balance_table, self.settings.balance_entries, self.settings.creem_credits
        if name is not None:
            return AtCreem(name)
        if table is None:
            return None
        acts = self.settings.mode is not Mode.OBSERVE
        return replace(self.store.read(lambda tx: Balances.open(tx, table, entries)), acts=acts)

    @cached_property
    def ledger(self) -> Ledger:
        """The credits."""
        return Ledger(self.home)

    @cached_property
    def assessor(self) -> Assessor:
        """The assess step."""
        s = self.settings
        lease = timedelta(seconds=s.claim_seconds)
        return Assessor(self.store, self.ledger, self.bench, self.settler, self.clock, s.batch, lease, s.max_attempts)

    @cached_property
    def creem_address(self) -> Address | None:
        """Where Creem is asked; None without a key. Raises `Misconfigured` where key and host disagree."""
        key = self.settings.creem_api_key
        return None if key is None else address_of(key.get_secret_value(), self.settings.creem_base_url)

    @cached_property
    def environment(self) -> Environment | None:
        """Whose money it is: what the key is for, or, where another process has that, what the settings say; None without
        either, and then no money leaves.
        """
        address, named = self.creem_address, self.settings.creem_environment
        if address is not None:
            return address.environment
        return Environment(named) if named else None

    @cached_property
    def accepts_mode(self) -> Accepts | None:
        """Which objects of Creem's are of our environment; None where nothing says which one that is."""
        return self.environment.accepts if self.environment else None

    @cached_property
    def settler(self) -> Settler:
        """What follows from what is known of charges."""
        return Settler(self.ledger, self.bench, self.environment)

    @cached_property
    def creem(self) -> CreemHttp | None:
        """Creem; None without a key: this process then asks and pays nothing."""
        key, address, seconds = self.settings.creem_api_key, self.creem_address, self.settings.creem_timeout_seconds
        if key is None or address is None:
            return None
        return CreemHttp(address, key, read_seconds=seconds / 2, refund_seconds=seconds, timer=elapsed)

    @cached_property
    def payer(self) -> Payer | None:
        """The one way money goes back; None without a key."""
        if self.creem is None:
            return None
        seconds = self.settings.creem_timeout_seconds
        return Payer(
            store=self.store,
            creem=self.creem,
            settler=self.settler,
            clock=self.clock,
            holder=new_id("proc", self.clock.now()),
            refund_seconds=seconds,
            # two reads, the call, and the commits around them
            turn_seconds=2 * seconds + 10,
            round_seconds=_round(2 * seconds + 10),
            timer=elapsed,
            witnesses=self.witnesses,
            watch=Watch(self.store, self.witnesses, self.clock),
            other_clock=database_time,
        )

    @cached_property
    def books_at_creem(self) -> BooksAtCreem | None:
        """How credits at Creem are booked; None where customers have none there."""
        name, lease = self.settings.creem_credits, timedelta(seconds=60 + 3 * self.settings.creem_timeout_seconds)
        if name is None or self.creem is None or self.settings.mode is Mode.OBSERVE:
            return None
        # three questions to a booking at most, each of half of that
        longest = 1.5 * self.settings.creem_timeout_seconds
        return BooksAtCreem(self.store, self.creem.credits, name, self.clock, lease, _round(longest))

    @cached_property
    def witnesses(self) -> Witnesses:
        """Who remembers outside the database how far it had come: Redis, and the claim journal where there is one."""
        folder = self.settings.journal_dir
        return Witnesses(
            None if folder is None else Journal(folder), self.redis, f"{self.settings.group}:epoch:{self.settings.stream}"
        )

    @cached_property
    def heads(self) -> Heads | None:
        """Where the heads of the chain are kept outside the database; None without a folder for it."""
        folder = self.settings.journal_dir
        return None if folder is None else Heads(folder)

    @cached_property
    def chainer(self) -> Chainer:
        """The chain over what may not change."""
        return Chainer(self.store, self.heads, self.clock)

    @cached_property
    def forgiver(self) -> Forgiver:
        """What is said of the chain after a restore."""
        return Forgiver(self.store, self.heads, self.clock)

    @cached_property
    def restorer(self) -> Restorer:
        """What is done after a restore."""
        return Restorer(self.store, self.witnesses, self.settler, self.clock)

    def mover(self, to: str) -> Mover:
        """How the book moves into that database. Raises `Misconfigured` where it cannot be opened, `Refused` where something
        would stay behind.
        """
        if self.settings.balance_table is not None:
            raise Refused("the product's balances (REFUNDS_BALANCE_TABLE) lie in this database and do not come along")
        target = with_our_driver(to)
        if not target.startswith(("sqlite:", "postgresql+psycopg:")):
            raise Misconfigured("--to: expected a URL like postgresql+psycopg://user@host/database or sqlite:///refunds.db")
        return Mover(self.store, Store(target), self.heads, self.witnesses, self.settings.group, self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        """The comparison with the other sides."""
        days = timedelta(days=self.settings.reconcile_days)
        return Reconciler(self.store, self.creem, self.settler, self.assessor, self.clock, days)

    @cached_property
    def files(self) -> Files:
        """The files that customers sent."""
        return Files(Mark(self.settings.evidence_dir, self.store, self.clock))

    @cached_property
    def mailroom(self) -> Mailroom:
        """Where mails become requests."""
        return Mailroom(self.store, self.ledger, self.bench, self.files, names_in(self.settings.mail_hosts), self.clock)

    @cached_property
    def maildir(self) -> Maildir | None:
        """The Maildir that is watched, if any."""
        folder = self.settings.mail_dir
        return None if folder is None else Maildir(folder, self.mailroom)

    @cached_property
    def evidence(self) -> Evidence:
        """The files of customers with their receipts."""
        return Evidence(self.store, self.files, self.bench, self.clock)

    @cached_property
    def notifier(self) -> Notifier:
        """How customers are told."""
        return Notifier(self.store, self._mailer, self.editions, self.clock, _round(self.settings.notices_timeout_seconds))

    @cached_property
    def _mailer(self) -> Mailer | None:
        s = self.settings
        if s.notices_url is None or s.mode is Mode.OBSERVE:
            return None
        postbox = postbox_of(s.notices_url, timeout=s.notices_timeout_seconds)
        gather = timedelta(seconds=s.notices_gather_seconds)
        return Mailer(postbox, s.notices_from, s.notices_reply_to, s.notices_url.startswith("file:"), gather)

    @cached_property
    def reviewer(self) -> Reviewer:
        """The human queue."""
        return Reviewer(self.store, self.ledger, self.bench, self.environment, self.clock)

    @cached_property
    def requeuer(self) -> Requeuer:
        """How cases are put back."""
        return Requeuer(self.store, self.assessor, self.clock)

    @cached_property
    def letters(self) -> DeadLetters:
        """The dead letters."""
        return DeadLetters(self.store, self.clock, self.accepts_mode)

    @cached_property
    def importer(self) -> Importer:
        """How history of the product comes in."""
        return Importer(self.store, self.assessor, self.clock)

    @cached_property
    def operators(self) -> Operators:
        """Who may sign in."""
        return Operators(self.store, self.clock)

    @cached_property
    def reruns(self) -> Reruns:
        """How the pipeline is asked: over HTTP where its address is known, else on the commands stream."""
        if self.settings.pipeline_url:
            return PipelineHttp(self.settings.pipeline_url, self.settings.pipeline_timeout_seconds)
        return PipelineStream(self.redis, self.settings.commands_stream)

    @cached_property
    def performer(self) -> Performer:
        """The effects step."""
        s = self.settings
        outcomes = OutcomeStream(self.redis, s.outcomes_stream)
        lease = timedelta(seconds=max(s.claim_seconds, 3 * s.pipeline_timeout_seconds))
        acts, seconds = s.mode is not Mode.OBSERVE, _round(s.pipeline_timeout_seconds)
        return Performer(self.store, self.reruns, outcomes, self.clock, s.batch, lease, acts=acts, round_seconds=seconds)

    @cached_property
    def sweeper(self) -> Sweeper:
        """The sweep."""
        patience = OWN_HINT if self.settings.hints else timedelta(0)
        return Sweeper(self.store, self.assessor, self.performer, self.bench, self.clock, self.settings.batch, patience)

    @cached_property
    def drain(self) -> Drain:
        """The stream read by a task process itself."""
        return Drain(self.redis, self.settings.stream, self.desk, self.assessor, self.performer, self.settings.group)

    @cached_property
    def first_hand(self) -> FirstHand:
        """Entries of the stream handled by the task they were handed to."""
        return FirstHand(self.redis, self.settings.stream, self.desk, self.assessor, self.settings.group)

    @cached_property
    def desk(self) -> Desk:
        """Where stream entries become rows."""
        return Desk(self.store, self.clock, self.producers)

    @cached_property
    def producers(self) -> Producers:
        """Who may speak on the stream."""
        return Producers.named(self.settings.event_secrets)


def _round(longest: float) -> float:
    """How long a round may begin calls outside that take so long at most, all in seconds."""
    return min(ROUND_SECONDS, LONGEST_TASK - longest)


def names_in(listed: str) -> frozenset[str]:
    """The names in a list with commas, in lower case."""
    return frozenset(name.strip().lower() for name in listed.split(",") if name.strip())
