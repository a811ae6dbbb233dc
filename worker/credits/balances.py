"""The product's own balances: what is booked by our hand changes them in the same transaction as the case.

Granting credits at a purchase and taking the price of a job are the product's own doing, of which it told us. What it did not
do itself is what comes back for a job, and what is frozen while money may go back. Every call joins the caller's transaction; the
caller holds the account's lock, and rows here are locked in one order.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, case, cast, exists, func, literal, or_, select
from sqlalchemy.exc import DBAPIError

from policy.ledger import PostingKind
from worker.credits.ledger import Posting
from worker.credits.named import ACCOUNT, AFTER, AT, BALANCE, CREDITS, KEY, Named, Product, doubts, find
from worker.credits.untaken import NEVER_TAKEN, EntryState, untaken, write_down
from worker.errors import Misconfigured, Refused, one_line
from worker.store.bulk import Absent, Record, Tx
from worker.store.faults import refuses_the_row
from worker.store.tables import creem_credits, installation, postings, purchases

GIVES = {PostingKind.REVERSAL: 1, PostingKind.RELEASE: 1, PostingKind.FREEZE: -1}
"""What one credit of a posting adds to a balance; the product told us of the others, or they were taken before."""
GIVEN = case(*((postings.c.kind == kind.value, sign * postings.c.credits) for kind, sign in GIVES.items()))
"""What a row of postings adds to a balance; NULL where nothing."""
TABLE, ENTRIES = "REFUNDS_BALANCE_TABLE", "REFUNDS_BALANCE_ENTRIES"
OBSERVED = "in mode observe no balance is changed"
MARK = "refunds:"
"""What our keys in the product's table of entries begin with."""


@dataclass(frozen=True)
class Balances:
    """The table of balances, one row an account, and the table of what happened to them where the product keeps one."""

    accounts: Product
    entries: Product | None = None
    acts: bool = True
    """False in `observe`: what would move is written down as not moved."""

    @classmethod
    def open(cls, tx: Tx, table: str, entries: str | None) -> "Balances":
        """The tables that `REFUNDS_BALANCE_TABLE` and `REFUNDS_BALANCE_ENTRIES` name. Raises `Misconfigured`, a line a fault."""
        named, faults = _read(table, entries)
        found = {}
        for setting, one in named.items():
            unique, adds = (ACCOUNT, False) if setting == TABLE else (KEY, True)
            found[setting], wrong = find(tx, one, unique=unique, adds=adds)
            faults += [f"{setting}: {fault}" for fault in wrong]
        accounts = found.get(TABLE)
        if faults or accounts is None:
            raise Misconfigured(*faults)
        return cls(accounts, found.get(ENTRIES))

    def begin(self, tx: Tx, now: datetime) -> None:
        """Remembers since when postings are booked here, for the audit."""
        tx.insert_absent(installation, [{"name": self._since, "value": now.isoformat()}])

    def doubts(self, tx: Tx) -> list[str]:
        """What may keep single rows from being booked into, a line each."""
        return [doubt for product in (self.accounts, self.entries) if product for doubt in doubts(tx, product.named)]

    def book(self, tx: Tx, wanted: Sequence[Posting], at: datetime) -> None:
        """Adds to the balances what these postings, booked in this transaction, give and take.

        What cannot be taken or given back for a hold is written down, and the hold stands. Raises `Refused` where credits of a
        job should come back to an account without a row or balance, or the database makes another amount of them.
        """
        moved = [posting for posting in wanted if posting.kind in GIVES]
        if not self.acts:
            for posting in moved:
                write_down(tx, posting, GIVES[posting.kind] * posting.credits, EntryState.REFUSED, OBSERVED, at)
            return
        if not moved:
            return
        owners = _owners(tx, {posting.purchase_id for posting in moved})
        rows = {owner: self.accounts.account(owner) for owner in owners.values()}
        balances, had = self._lock(tx, rows.values()), dict[Any, int]()
        sums: dict[Any, int] = defaultdict(int)
        records = []
        for posting in moved:
            if posting.kind is not PostingKind.REVERSAL:
                continue
            owner = owners[posting.purchase_id]
            row = rows[owner]
            if (has := balances.get(row)) is None:
                raise Refused(f"{self._no_balance(owner, row, balances)}: its credits cannot come back")
            had[row] = has
            sums[row] += posting.credits
            records.append(self._entry(posting, row, posting.credits, has + sums[row], at))
        self._add(tx, sums, records, had)
        for posting in moved:
            if posting.kind is not PostingKind.REVERSAL:
                owner = owners[posting.purchase_id]
                self._hold(tx, posting, owner, rows[owner], at)

    def _hold(self, tx: Tx, posting: Posting, owner: str, row: Any, at: datetime) -> None:
        """Takes what a freeze takes, or as much of it as there is; gives back what a release gives back and was taken."""
        whole, balances = GIVES[posting.kind] * posting.credits, self._lock(tx, [row])
        has = balances.get(row)
        if posting.kind is PostingKind.RELEASE:
            due = max(0, whole - untaken(tx, posting.purchase_id, before=posting.key).held)
            tried = [due]
        else:
            due = whole
            tried = [whole, max(whole, -max(0, int(has or 0)))]
        if has is None:
            done, why = 0, self._no_balance(owner, row, balances)
        else:
            done, why = self._move(tx, posting, row, has, tried, at)
        if done != due:
            write_down(tx, posting, whole - done, EntryState.REFUSED, why, at)
        elif done != whole:
            write_down(tx, posting, whole - done, EntryState.DROPPED, NEVER_TAKEN, at)

    def _move(self, tx: Tx, posting: Posting, row: Any, has: int, tried: Sequence[int], at: datetime) -> tuple[int, str]:
        """The first of these amounts that the product's tables take, 0 where they take none of them; and the last reason."""
        why = ""
        for amount in dict.fromkeys(filter(None, tried)):
            try:
                with tx.by_itself():
                    self._add(tx, {row: amount}, [self._entry(posting, row, amount, has + amount, at)], {row: has})
                return amount, why
            except (Absent, Refused) as error:
                why = one_line(error)
            except DBAPIError as error:
                if not refuses_the_row(error):
                    raise
                why = one_line(error.orig or error)
        return 0, why

    def _add(self, tx: Tx, sums: Mapping[Any, int], records: Sequence[Record], had: Mapping[Any, int]) -> None:
        """Adds to what these rows `had`. Raises `Refused` where one has another balance then: a trigger of the product's changed
        the amount, or booked the entry a second time, be it deferred to the commit.
        """
        account, balance = self.accounts.column(ACCOUNT).name, self.accounts.column(BALANCE).name
        tx.add(self.accounts.table, [{account: row, balance: sums[row]} for row in sorted(sums)], by=account)
        if self.entries is not None:
            tx.insert(self.entries.table, records)
        tx.check_now()
        for row, has in self._balances(tx, self._rows(tx, sums)).items():
            if has != had[row] + sums[row]:
                said = f"{row} had {had[row]} credits in {self.accounts}, and {sums[row]:+} made it {has}"
                raise Refused(f"{said}: a trigger of the product's moves them too, or others; nothing was moved")

    def short(self, tx: Tx, purchase_id: str) -> str | None:
        """Why the unspent credits of a lot cannot all be frozen: the product knows of fewer. None where they can."""
        lot = tx.one(select(purchases.c.account_id, purchases.c.remaining).where(purchases.c.purchase_id == purchase_id))
        row = self.accounts.account(lot.account_id)
        has = self._lock(tx, [row]).get(row) or 0
        if has >= lot.remaining:
            return None
        return (
            f"{lot.account_id} has {has} credits in {self.accounts}, fewer than the {lot.remaining} of {purchase_id} to take back"
        )

    def held(self, tx: Tx, account_ids: Collection[str]) -> set[str]:
        """Those whose row here somebody else has locked at this moment, as the product may in a transaction that takes long."""
        if not self.acts:
            return set()
        rows = {account_id: self.accounts.account(account_id) for account_id in account_ids}
        chosen = self._rows(tx, rows.values())
        there = self._balances(tx, chosen)
        free = self._balances(tx, chosen.with_for_update(key_share=True, skip_locked=True))
        return {account_id for account_id, row in rows.items() if row in there and row not in free}

    def breaches(self, tx: Tx, limit: int) -> Iterable[tuple[str, str]]:
        """Where the entries of the product are not what our postings say, as (key, problem); nothing where it keeps none."""
        since = tx.connection.execute(select(installation.c.value).where(installation.c.name == self._since)).scalar()
        if self.entries is None or since is None:
            return
        entries, account = self.entries.table, self.accounts.column(ACCOUNT)
        key, credits = self.entries.column(KEY), self.entries.column(CREDITS)
        gives = GIVEN - func.coalesce(creem_credits.c.credits, 0)
        booked = select(postings.c.key, gives.label("gives"), purchases.c.account_id)
        booked = booked.join(purchases, purchases.c.purchase_id == postings.c.purchase_id)
        booked = booked.outerjoin(creem_credits, creem_credits.c.key == postings.c.key)
        ours = booked.where(GIVEN.is_not(None), postings.c.at >= datetime.fromisoformat(since)).subquery("ours").c
        has_row = select(literal(1)).where(cast(account, Text) == ours.account_id).exists()
        differ = select(ours.key, ours.gives, credits.label("stands"))
        differ = differ.outerjoin(entries, key == literal(MARK) + ours.key).where(
            or_(key.is_(None) & has_row & (ours.gives != 0), credits != ours.gives)
        )
        for row in tx.all(differ.limit(limit)):
            stands = "no entry" if row.stands is None else f"an entry of {row.stands}"
            yield row.key, f"gives {row.gives} and has {stands} in {self.entries}"
        unknown = key.like(f"{MARK}%") & ~exists().where(literal(MARK) + postings.c.key == key)
        for row in tx.all(select(key.label("key")).where(unknown).limit(limit)):
            yield row.key, f"stands in {self.entries} and was never booked"

    @property
    def _since(self) -> str:
        return f"balances:{self.accounts}"

    def _no_balance(self, owner: str, row: Any, balances: Mapping[Any, int | None]) -> str:
        if row in balances:
            return f"account {owner} has no balance, {self.accounts}.{self.accounts.named.parts[BALANCE]} is NULL in its row"
        return f"account {owner} has no row in {self.accounts}"

    def _lock(self, tx: Tx, rows: Iterable[Any]) -> dict[Any, int | None]:
        # the product may add rows that refer to the account's meanwhile: no key of it changes, and so neither waits for the other
        return self._balances(tx, self._rows(tx, rows).with_for_update(key_share=True))

    def _balances(self, tx: Tx, chosen: Select[Any]) -> dict[Any, int | None]:
        # a column of type char(n) gives what is shorter with blanks behind it, and no id has any
        return {one.rstrip() if isinstance(one, str) else one: has for one, has in map(tuple, tx.all(chosen))}

    def _rows(self, tx: Tx, rows: Iterable[Any]) -> Select[Any]:
        account, balance = self.accounts.column(ACCOUNT), self.accounts.column(BALANCE)
        named = tx.among(account, sorted({row for row in rows if row is not None}))
        return select(account, balance).where(named).order_by(account)

    def _entry(self, posting: Posting, row: Any, credits: int, after: int, at: datetime) -> Record:
        if self.entries is None:
            return {}
        said = {
            KEY: MARK + posting.key,
            ACCOUNT: row,
            CREDITS: credits,
            "kind": posting.kind.value,
            "job": posting.job_id,
            "case": posting.case_id,
            AT: at,
            AFTER: after,
        }
        named = self.entries.named
        return {column: said[part] for part, column in named.parts.items()} | dict(named.fixed)


def misnamed(table: str | None, entries: str | None) -> list[str]:
    """What is wrong with the words of the two settings, a line each; whether there are such tables only the database knows."""
    return _read(table, entries)[1]


def _read(table: str | None, entries: str | None) -> tuple[dict[str, Named], list[str]]:
    """The tables that the settings name, by setting, and a line for each that names none."""
    found, faults = dict[str, Named](), list[str]()
    more = ["kind", "job", "case", AT, AFTER]
    for setting, words, needed, rest in (
        (TABLE, table, [ACCOUNT, BALANCE], []),
        (ENTRIES, entries, [KEY, ACCOUNT, CREDITS], more),
    ):
        try:
            if words is not None:
                found[setting] = Named.parse(words, needed, rest, adds=setting == ENTRIES)
        except ValueError as error:
            faults.append(f"{setting}: {error}")
    return found, faults


def _owners(tx: Tx, purchase_ids: Iterable[str]) -> dict[str, str]:
    lot = purchases.c
    rows = tx.all(select(lot.purchase_id, lot.account_id).where(tx.among(lot.purchase_id, sorted(purchase_ids))))
    return {row.purchase_id: row.account_id for row in rows}
