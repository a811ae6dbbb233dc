"""What customers are told: once each, one mail an incident, and never again what may have been said already."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from tests.cases.test_held import held
from tests.cases.world import a_purchase, an_account
from tests.faults import Crash
from tests.requests.world import PeopleWorld, text_of
from tests.servers import ON_POSTGRES, POSTGRES_AT_NIGHT
from worker.cases.effects.notifier import Mailer, Notifier, notices_late
from worker.clock import moment
from worker.notices.mail.postbox import Outbox, Posted, Receipt
from worker.store.breakers import MAIL, not_heard, standing
from worker.store.engine import Store
from worker.store.tables import accounts, notices


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[PeopleWorld]:
    made = PeopleWorld(store, tmp_path)
    made.bought_once()
    yield made
    made.sweep()
    assert made.audit().breaches == []
    made.close()


@dataclass
class Server:
    """A mail server that answers as told, in turn, and then takes everything."""

    answers: list[Posted] = field(default_factory=list)
    got: list[EmailMessage] = field(default_factory=list)

    def post(self, message: EmailMessage) -> Receipt:
        self.got.append(message)
        return Receipt(self.answers.pop(0) if self.answers else Posted.SENT, "as told")


def through(world: PeopleWorld, server: Server) -> Notifier:
    return Notifier(
        world.store, Mailer(server, "support@layers.example", None, repeatable=False), world.bench.editions, world.clock
    )


def failed_jobs(world: PeopleWorld, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        world.happen(world.submitted(f"job_{number}", credits=1), world.failed(f"job_{number}"))


def states(world: PeopleWorld) -> list[str]:
    return [row.state for row in world.rows(select(notices).order_by(notices.c.notice_id))]


def test_credits_that_came_back_are_told_of_once(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    assert world.written() == []
    world.clock.pass_(minutes=2)
    [letter] = world.written()
    assert letter["To"] == "acc_1@example.org"
    assert "1 credit is back on your account" in letter["Subject"]
    assert "gets its credits back without being asked" in text_of(letter)
    world.clock.pass_(days=3)
    world.sweep()
    assert len(world.written()) == 1
    [told] = world.case("job_1")["notices"]  # type: ignore[index]
    assert (told["kind"], told["state"]) == ("credits_returned", "sent")


def thread_of(letter: EmailMessage) -> tuple[str | None, str | None]:
    return letter["In-Reply-To"], letter["References"]


def test_letter_joins_the_thread_of_the_last_mail_that_its_reader_wrote(world: PeopleWorld) -> None:
    world.mail(message_id="<first@example.org>")
    world.clock.pass_(minutes=1)
    world.mail("Order ord_1, please.", sender="ACC_1@example.org", message_id=f"<{'b' * 150}@example.org>")
    world.clock.pass_(minutes=2)
    [letter] = world.written()
    assert thread_of(letter) == (f"<{'b' * 150}@example.org>",) * 2


@POSTGRES_AT_NIGHT
@pytest.mark.parametrize("theirs", ["<a b@c>", f"<{'a' * 240}@example.org>", '<a"@example.org>', "<a,b@example.org>", "none"])
def test_letter_goes_without_a_thread_where_the_mail_has_no_plain_id(world: PeopleWorld, theirs: str) -> None:
    world.mail(message_id=theirs)
    world.clock.pass_(minutes=2)
    [letter] = world.written()
    assert thread_of(letter) == (None, None)


def test_letter_joins_no_thread_of_a_mail_that_its_reader_may_not_have_written(world: PeopleWorld) -> None:
    world.mail(verified=False, message_id="<theirs@evil.example>")
    world.clock.pass_(minutes=2)
    [question] = world.written()
    assert "R-" in question["Subject"]
    assert thread_of(question) == (None, None)


def test_letter_of_several_cases_joins_no_thread(world: PeopleWorld) -> None:
    world.bought_once("ord_2")
    world.mail(message_id="<one@example.org>")
    world.mail("Please refund my order ord_2.", message_id="<two@example.org>")
    world.clock.pass_(minutes=2)
    [letter] = world.written()
    assert ("ord_1" in text_of(letter), "ord_2" in text_of(letter), thread_of(letter)) == (True, True, (None, None))


def test_jobs_that_failed_together_are_one_mail(world: PeopleWorld) -> None:
    failed_jobs(world, 15)
    world.clock.pass_(minutes=2)
    [letter] = world.written()
    assert "15 credits are back" in letter["Subject"]
    assert set(states(world)) == {"sent"}


def test_jobs_that_fail_on_and_on_are_one_mail_an_hour(world: PeopleWorld) -> None:
    for turn in range(3):
        failed_jobs(world, 3, first=1 + 3 * turn)
        world.clock.pass_(minutes=10)
        world.written()
    assert len(world.written()) == 1
    world.clock.pass_(hours=1)
    letters = world.written()
    assert len(letters) == 2
    assert "6 credits are back" in letters[1]["Subject"]


@dataclass
class SlowServer(Server):
    """Something happens while it takes the first mail."""

    meanwhile: list[Callable[[], object]] = field(default_factory=list)

    def post(self, message: EmailMessage) -> Receipt:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().post(message)


def test_job_that_fails_while_a_mail_is_on_its_way_goes_into_the_next(world: PeopleWorld) -> None:
    server = SlowServer()

    def another_notifier() -> None:
        failed_jobs(world, 1, first=2)
        world.clock.pass_(seconds=65)
        assert through(world, server).send() == 0

    server.meanwhile.append(another_notifier)
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    assert through(world, server).send() == 1
    world.clock.pass_(minutes=30)
    assert through(world, server).send() == 0
    world.clock.pass_(minutes=31)
    assert through(world, server).send() == 1
    assert states(world) == ["sent", "sent"]


@ON_POSTGRES
def test_notice_whose_dead_senders_row_somebody_holds_costs_nobody_else_a_letter(world: PeopleWorld) -> None:
    class Dies(Server):
        def post(self, message: EmailMessage) -> Receipt:
            raise KeyboardInterrupt

    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    with pytest.raises(KeyboardInterrupt):
        through(world, Dies()).send()
    failed_jobs(world, 1, first=2)
    world.load(an_account("acc_2"), a_purchase("ord_2", "acc_2"))
    world.happen(world.submitted("job_9", "acc_2", credits=1), world.failed("job_9", "acc_2"))
    with world.store.engine.connect() as lunch:
        lunch.execute(text("select 1 from notices where state = 'sending' for update"))
        world.clock.pass_(minutes=20)
        assert through(world, Server()).send() == 1
        lunch.rollback()


def test_job_that_the_policy_declined_by_itself_is_no_mail(world: PeopleWorld) -> None:
    world.happen(world.submitted("job_1"), world.failed("job_1", code="invalid_image"))
    assert world.state("job_1") == "declined"
    world.clock.pass_(minutes=2)
    assert world.written() == []


def test_server_that_takes_nothing_is_tried_again_and_told_once(world: PeopleWorld) -> None:
    failed_jobs(world, 2)
    server = Server([Posted.LATER, Posted.LATER])
    notifier = through(world, server)
    for _ in range(10):
        world.clock.pass_(minutes=2)
        notifier.send()
    assert len(server.got) == 3
    assert states(world) == ["sent", "sent"]
    assert len({message["Message-ID"] for message in server.got}) == 3


def late(world: PeopleWorld) -> tuple[int, str | None, str | None]:
    found = world.store.read(notices_late)
    return found["count"], found["oldest_at"], found["last_error"]


def becomes(world: PeopleWorld, which: str, **values: Any) -> None:
    changed = update(notices).where(notices.c.state == which).values(**values)
    assert world.store.write(lambda tx: tx.connection.execute(changed).rowcount) == 1


def test_letters_that_no_server_takes_are_counted_since_they_were_to_be_told(world: PeopleWorld) -> None:
    since = moment(world.clock.now())
    failed_jobs(world, 2)
    assert late(world) == (0, None, None), "nobody has tried"
    notifier = through(world, Server([Posted.LATER] * 8))
    for _ in range(8):
        world.clock.pass_(hours=2)
        notifier.send()
        assert late(world) == (2, since, "as told")
    world.clock.pass_(hours=2)
    notifier.send()
    assert (late(world), states(world)) == ((0, None, None), ["sent", "sent"])


def test_letter_is_late_while_it_is_tried_again_and_not_while_it_is_tried_first(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    becomes(world, "due", state="sending", attempts=1)
    assert late(world)[0] == 0
    becomes(world, "sending", attempts=2)
    assert late(world)[0] == 1


def test_letter_that_waits_for_others_or_for_its_case_is_not_late_though_it_was_tried_once(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    notifier = through(world, Server([Posted.SENT, Posted.LATER]))
    notifier.send()
    world.clock.pass_(minutes=61)
    failed_jobs(world, 1, first=2)
    world.clock.pass_(minutes=2)
    notifier.send()
    assert late(world)[0] == 1
    becomes(world, "sent", ended_at=world.clock.now())
    world.clock.pass_(minutes=2)
    notifier.send()
    assert (late(world)[0], states(world)) == (0, ["sent", "due"])


@pytest.mark.parametrize("outcome", [Posted.UNKNOWN, Posted.REFUSED])
def test_mail_that_may_have_arrived_or_was_refused_is_not_sent_again(world: PeopleWorld, outcome: Posted) -> None:
    failed_jobs(world, 1)
    server = Server([outcome])
    notifier = through(world, server)
    for _ in range(5):
        world.clock.pass_(hours=2)
        notifier.send()
    assert len(server.got) == 1
    assert states(world) == [outcome.value]


def test_letters_that_end_untold_one_after_the_other_are_counted_until_one_is_taken(world: PeopleWorld) -> None:
    server = Server([Posted.REFUSED, Posted.UNKNOWN, Posted.LATER, Posted.REFUSED, Posted.LATER, Posted.SENT, Posted.REFUSED])
    notifier, seen = through(world, server), []
    for number in range(1, 8):
        failed_jobs(world, 1, first=number)
        world.clock.pass_(hours=2)
        notifier.send()
        seen.append(world.store.read(lambda tx: not_heard(tx, MAIL)))
    # what is told later goes out with the next
    assert [told[0] if told else 0 for told in seen] == [1, 2, 2, 3, 3, 0, 1]
    assert len(server.got) == 7
    assert world.store.read(lambda tx: standing(tx, world.clock.now())) == []


def test_letters_that_nobody_sends_any_more_are_no_news(world: PeopleWorld) -> None:
    """Who turns them off because the server takes none would else have the alert until somebody turns them on."""
    notifier = through(world, Server([Posted.REFUSED] * 5))
    for number in range(1, 6):
        failed_jobs(world, 1, first=number)
        world.clock.pass_(hours=2)
        notifier.send()
    assert world.store.read(lambda tx: not_heard(tx, MAIL)) == (5, "as told")
    Notifier(world.store, None, world.bench.editions, world.clock).send()
    assert world.store.read(lambda tx: not_heard(tx, MAIL)) is None


def test_refusal_that_is_kept_names_no_recipient(world: PeopleWorld) -> None:
    class Naming(Server):
        def post(self, message: EmailMessage) -> Receipt:
            return Receipt(Posted.REFUSED, f"550 to RCPT TO: <{message['To']}>: Relay access denied")

    failed_jobs(world, 1)
    world.clock.pass_(hours=2)
    through(world, Naming()).send()
    assert world.store.read(lambda tx: not_heard(tx, MAIL)) == (1, "550 to RCPT TO: <the recipient>: Relay access denied")


class Deadly(Server):
    """Dies with the mail in its hands."""

    def post(self, message: EmailMessage) -> Receipt:
        super().post(message)
        raise Crash


def test_sender_that_died_in_the_middle_leaves_it_unknown_and_nobody_sends_again(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    deadly = Deadly()
    with pytest.raises(Crash):
        through(world, deadly).send()
    server = Server()
    world.clock.pass_(minutes=1)
    through(world, server).send()
    assert states(world) == ["sending"]
    world.clock.pass_(hours=2)
    through(world, server).send()
    assert (len(deadly.got), server.got, states(world)) == (1, [], ["unknown"])


def test_outbox_that_takes_the_same_mail_once_is_tried_again_after_a_death(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    with pytest.raises(Crash):
        through(world, Deadly()).send()
    world.clock.pass_(hours=2)
    assert len(world.written()) == 1
    assert states(world) == ["sent"]


class Dying:
    """An outbox whose process dies once the mail is in it."""

    def __init__(self, world: PeopleWorld) -> None:
        self._whole = Outbox(world.outbox)

    def post(self, message: EmailMessage) -> Receipt:
        self._whole.post(message)
        raise Crash


def test_mail_that_was_written_before_a_death_is_not_written_again_with_what_came_since(world: PeopleWorld) -> None:
    """Once it was sent again as another mail, and the customer had two of it."""
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    with pytest.raises(Crash):
        Notifier(
            world.store, Mailer(Dying(world), "support@layers.example", None, repeatable=True), world.bench.editions, world.clock
        ).send()
    failed_jobs(world, 2, first=2)
    for _ in range(2):
        world.clock.pass_(hours=2)
        letters = world.written()
    assert [str(letter["Subject"]).split(":")[0] for letter in letters] == [
        "1 credit is back on your account",
        "2 credits are back on your account",
    ]
    assert states(world) == ["sent", "sent", "sent"]


def test_two_senders_at_once_tell_each_customer_once(world: PeopleWorld) -> None:
    for number in range(6):
        world.bought_once(f"ord_x{number}", f"acc_x{number}")
        world.happen(world.submitted(f"job_x{number}", f"acc_x{number}"), world.failed(f"job_x{number}", f"acc_x{number}"))
    world.clock.pass_(minutes=2)
    server, gate = Server(), threading.Barrier(3)

    def send(_: int) -> int:
        gate.wait(10)
        return through(world, server).send()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(3)))
    assert sorted(str(message["To"]) for message in server.got) == [f"acc_x{number}@example.org" for number in range(6)]


def test_nobody_is_written_to_without_a_way_and_nothing_is_sent_late(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    Notifier(world.store, None, world.bench.editions, world.clock).send()
    assert states(world) == ["dropped"]
    world.clock.pass_(days=1)
    assert world.written() == []


def test_what_could_not_be_told_for_a_week_is_not_told_any_more_and_its_case_says_so(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    notifier = through(world, Server([Posted.LATER]))
    world.clock.pass_(minutes=2)
    notifier.send()
    world.clock.pass_(days=8)
    assert world.written() == []
    assert states(world) == ["dropped"]
    [said] = [row for row in (world.case("job_1") or {})["history"] if row["event"].startswith("notice.")]
    told = {"kind": "credits_returned", "detail": "too old to be told; as told"}
    assert (said["event"], said["detail"]) == ("notice.dropped", told)


@pytest.mark.parametrize(("column", "value"), [("status", "deleted"), ("email", None)])
def test_account_without_address_or_deleted_is_not_written_to_and_still_made_whole(
    world: PeopleWorld, column: str, value: str | None
) -> None:
    world.store.write(lambda tx: tx.connection.execute(update(accounts).values({column: value})).rowcount)
    failed_jobs(world, 1)
    world.clock.pass_(minutes=2)
    assert world.written() == []
    assert world.state("job_1") == "refunded"


def test_suspension_is_told_with_its_clause_and_reinstatement_too(world: PeopleWorld) -> None:
    world.happen(world.submitted("job_1"), world.succeeded("job_1"), world.event("downloaded", "job_1"))
    case_id = world.mail().case_id
    world.decide(case_id, "suspend", by="ann", reason="resold")
    world.clock.pass_(minutes=2)
    assert not [mail for mail in world.written() if "suspended" in mail["Subject"]]
    world.decide(case_id, "suspend", by="bob")
    world.clock.pass_(minutes=2)
    [told] = [mail for mail in world.written() if "suspended" in mail["Subject"]]
    assert "Two people decide that, never a machine" in text_of(told)
    world.clock.pass_(hours=2)
    world.decide(case_id, "reinstate", by="cat")
    world.clock.pass_(minutes=2)
    assert [mail for mail in world.written() if "open again" in mail["Subject"]]


def test_notice_gathers_before_it_goes(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    world.clock.at += timedelta(seconds=59)
    assert world.written() == []
    world.clock.at += timedelta(seconds=2)
    assert len(world.written()) == 1


@ON_POSTGRES
def test_account_that_somebody_holds_keeps_no_letter_of_another(world: PeopleWorld, store: Store) -> None:
    world.load(an_account("acc_2"), a_purchase("ord_2", "acc_2"))
    failed_jobs(world, 1)
    world.happen(world.submitted("job_2", "acc_2"), world.failed("job_2", "acc_2"))
    world.clock.pass_(minutes=2)
    with held(store, "acc_1"):
        assert [letter["To"] for letter in world.written()] == ["acc_2@example.org"]
    world.clock.pass_(minutes=1)
    assert {letter["To"] for letter in world.written()} == {"acc_1@example.org", "acc_2@example.org"}


@ON_POSTGRES
def test_notice_that_only_a_newer_release_has_words_for_keeps_no_other_waiting(world: PeopleWorld) -> None:
    failed_jobs(world, 1)
    with world.store.engine.begin() as connection:
        connection.execute(text("alter table notices drop constraint if exists ck_notices_kind"))
        connection.execute(text("update notices set kind = 'birthday'"))
    world.clock.pass_(minutes=5)
    failed_jobs(world, 1, first=2)
    world.clock.pass_(minutes=5)
    assert len(world.written()) == 1
    assert sorted(states(world)) == ["due", "sent"]


def test_server_that_takes_its_time_is_given_no_letter_that_its_task_might_not_end(world: PeopleWorld) -> None:
    for number in range(2, 6):
        world.load(an_account(f"acc_{number}"), a_purchase(f"ord_{number}", f"acc_{number}"))
        world.happen(world.submitted(f"job_{number}", f"acc_{number}"), world.failed(f"job_{number}", f"acc_{number}"))
    world.clock.pass_(minutes=2)
    server = Server([Posted.LATER] * 4)
    slow = replace(through(world, server), round_seconds=25.0, timer=lambda: 20.0 * len(server.got))
    slow.send()
    assert len(server.got) == 2, "a third would have begun after forty seconds"
    world.clock.pass_(hours=2)
    for _ in range(4):
        world.clock.pass_(minutes=1)
        server.got.clear()
        slow.send()
    assert set(states(world)) == {"sent"}
