"""What is known of a name that somebody typed: an account by its id or its address, what has no case, ids that begin so."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Row, Text, func, or_, select

from policy.words import count
from worker.cases.book.book import shown_account
from worker.clock import moment
from worker.domains import as_hosts_write, as_people_write
from worker.store import inbox as inbox_rows
from worker.store.bulk import Tx
from worker.store.tables import accounts, cases, dead_letters, inbox, layer_jobs, purchases

MOST_ALIKE, NEIGHBOURS, MOST_SOURCES, MOST_WORDS = 5, 50, 50, 5
_WORD, _CASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*"), "case_"
_IDS: Sequence[Column[Any]] = (
    accounts.c.account_id,
    cases.c.case_id,
    layer_jobs.c.job_id,
    purchases.c.purchase_id,
    purchases.c.transaction_id,
)
"""Each with an index of its own."""


def accounts_at(tx: Tx, addresses: Sequence[str]) -> list[str]:
    """The accounts with these mail addresses, whatever their capitals (beyond A to Z as far as the database folds them), and
    whether their domains are written as people do or as mail hosts.
    """
    if not addresses:
        return []
    spelled = {spell(address) for address in addresses for spell in (str, as_hosts_write, as_people_write)}
    folded = {address.lower() for address in spelled} | {_with_small_a_to_z(address) for address in spelled}
    alike = tx.among(func.lower(accounts.c.email, type_=Text), sorted(folded))
    return [row.account_id for row in tx.all(select(accounts.c.account_id).where(alike).order_by(accounts.c.account_id))]


def _with_small_a_to_z(address: str) -> str:
    """As SQLite folds, and Postgres under the collation C."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in address)


def accounts_called(tx: Tx, name: str) -> list[str]:
    """The account with this id, or else those with this mail address; none where neither is known."""
    there = tx.exists(select(accounts.c.account_id).where(accounts.c.account_id == name))
    return [name] if there else accounts_at(tx, [name])


def several(name: str, found: Sequence[str]) -> str:
    """What is said of an address that more than one account has."""
    return f"{name} is the address of {count(len(found), 'account')}: {', '.join(found)}"


def what_is_known(tx: Tx, name: str, bought: Sequence[Row[Any]]) -> str:
    """What is known of a name that no case has; `bought`: the purchases that it names."""
    i = inbox.c
    waiting = tx.all(select(i.received_at).where(i.job_id == name, i.state.in_(["new", "waiting"])).order_by(i.id))
    if waiting:
        events = count(len(waiting), "event")
        return f"{name} has no case yet: {events} about it, the first of {moment(waiting[0].received_at)}, not yet handled"
    job = tx.first(select(layer_jobs.c.status, layer_jobs.c.account_id).where(layer_jobs.c.job_id == name))
    if job is not None:
        said = f"{name} is a job of {job.account_id}, {job.status}, and has no case"
        return f"{said}: nothing failed in it that we were told of"
    if bought:
        return f"{name} is a purchase of {bought[0].account_id} and has no case: nothing is known to be wrong with it"
    called = accounts_called(tx, name)
    if called:
        what = "an account" if called == [name] else f"the address of {', '.join(called)}"
        return f"{name} is {what}: `refunds account {name}`, `refunds cases --account {name}`"
    if at_creem := _at_creem(tx, name):
        return at_creem
    if tx.exists(select(dead_letters.c.dead_id).where(or_(dead_letters.c.dead_id == name, dead_letters.c.key == name))):
        return f"{name} is a dead letter: `refunds dead show {name}`"
    if called_so := _events_called(tx, name):
        return "; ".join(called_so)
    return f"{_as_typed(name)}: no case, job, order or account of that name{_alike(tx, name)}"


def no_account(tx: Tx, name: str) -> str:
    """What is said where no account has this id or address: whose the case, job, order or charge is that has it."""
    c, j, p = cases.c, layer_jobs.c, purchases.c
    for what, owner in (
        ("a case", select(c.account_id).where(c.case_id == name)),
        ("a job", select(j.account_id).where(j.job_id == name)),
        ("an order", select(p.account_id).where(or_(p.purchase_id == name, p.order_id == name))),
        ("a charge", select(p.account_id).where(p.transaction_id == name)),
    ):
        row = tx.first(owner)
        if row is not None and (account_id := shown_account(row.account_id)) is not None:
            return f"{name} is {what} of {_leads([account_id])}"
    return _at_creem(tx, name) or f"{_as_typed(name)}: no account of that name or address{_alike(tx, name)}"


def _at_creem(tx: Tx, name: str) -> str | None:
    """Whose the customer or the subscription of this id at Creem is."""
    p = purchases.c
    for what, column in (("the customer", p.customer_id), ("a subscription", p.subscription_id)):
        owners = tx.all(select(p.account_id).where(column == name).distinct().order_by(p.account_id).limit(MOST_ALIKE))
        if owners:
            return f"{name} is {what} at Creem of {_leads([row.account_id for row in owners])}"
    return None


def _leads(account_ids: Sequence[str]) -> str:
    """Accounts, and the commands that show what is known of them."""
    shown = (f"`refunds account {each}`, `refunds cases --account {each}`" for each in account_ids)
    return f"{', '.join(account_ids)}: {', '.join(shown)}"


def _as_typed(name: str) -> str:
    """A name with blanks around it, or that no eye sees, as that of a variable which is not set, between quotation marks."""
    return name if name and name == name.strip() else f'"{name}"'


def _events_called(tx: Tx, name: str) -> list[str]:
    """What became of the events with this id: an identity is source and id, so they are looked up by one source after another."""
    i, told = inbox.c, list[str]()
    source = tx.value(select(func.min(i.source))) if name else None
    for _ in range(MOST_SOURCES):
        if source is None:
            break
        if event := tx.first(select(inbox).where(i.source == source, i.event_id == name)):
            told.append(_what_became_of(tx, event))
        source = tx.value(select(func.min(i.source)).where(i.source > source))
    return told


def _what_became_of(tx: Tx, event: Row[Any]) -> str:
    about = event.job_id or event.account_id
    what = f"{event.event_id} is {event.type} of {event.source}" + (f" about {about}" if about else "")
    d = dead_letters.c
    letter = tx.first(select(d.dead_id).where(d.key == inbox_rows.letter_key(event.id), d.state == "open"))
    if letter is not None:
        return f"{what}, a dead letter: `refunds dead show {letter.dead_id}`"
    fate = f"handled {moment(event.handled_at)}" if event.state == "handled" else "not yet handled"
    leads = f": `refunds {'show' if event.job_id else 'account'} {about}`" if about else ""
    return f"{what}, received {moment(event.received_at)}, {fate}{leads}"


def _alike(tx: Tx, name: str) -> str:
    """The first ids that begin so; where none does, those its words may mean: what is pasted has the dot of its sentence, the
    brackets of a mail address, or a case id in other capitals.
    """
    found, words = _that_begin(tx, name), _words(name)
    if not found:
        near = [each for word in words for each in _that_begin(tx, word)]
        meant = [*(each for each in near if each in words), *accounts_at(tx, words)]
        found = list(dict.fromkeys(meant or near))
    return f"; there are {', '.join(found[:MOST_ALIKE])}" if found else ""


def _that_begin(tx: Tx, name: str) -> list[str]:
    """A look at a few neighbours in each index, for a collation may put others between."""
    found: list[str] = []
    for column in _IDS if name else ():
        near = tx.all(select(column.label("id")).where(column >= name).order_by(column).limit(NEIGHBOURS))
        found += [row.id for row in near if row.id.startswith(name) and row.id not in found]
    return found


def _words(name: str) -> list[str]:
    """What may be ids and addresses in a text, without what punctuation follows them, case ids as we write them."""
    bare = [word.rstrip(".:-") for word in _WORD.findall(name)[:MOST_WORDS]]
    return [_CASE + word[len(_CASE) :].upper() if word.lower().startswith(_CASE) else word for word in bare]
