"""What the demo shows about money: how each charge's case ended, and what left the merchant by the double's own ledger."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from sqlalchemy import select

from policy.words import money
from worker.sandbox.creem import CreemDouble
from worker.sandbox.money_stories import MoneyWorld
from worker.screen import STATE_STYLE, cell, out, say, sentences
from worker.store.bulk import Tx
from worker.store.engine import Store
from worker.store.tables import cases

CHARGES_TOLD = ("story", "order", "ended", "back to\nthe card", "calls", "as\npromised")
Ends = Mapping[tuple[str, str], tuple[str, str]]


def endings(store: Store) -> Ends:
    """(case id, state) of every case about a charge, by (kind, order)."""

    def read(tx: Tx) -> dict[tuple[str, str], tuple[str, str]]:
        chosen = select(cases.c.kind, cases.c.order_id, cases.c.case_id, cases.c.state).where(cases.c.order_id.is_not(None))
        return {(row.kind, row.order_id): (row.case_id, row.state) for row in tx.all(chosen)}

    return store.read(read)


def as_told(found: Ends, world: MoneyWorld) -> bool:
    """True when every charge's case stands where its story says, and no other charge has one."""
    stands = {key: state for key, (_, state) in found.items()}
    return stands == {key: end.state for key, end in world.expected.items()}


def told(store: Store, world: MoneyWorld, double: CreemDouble) -> bool:
    """Prints it; True when every charge ended as its story says and the ledger shows what it must, and not a cent more."""
    found, right = endings(store), True
    shown = sentences("\nWhat happened to the charges", *CHARGES_TOLD)
    for key, end in world.expected.items():
        _, order = key
        transaction = order.replace("ord_", "tran_", 1)
        state, gone, calls = found.get(key, ("", "no case"))[1], double.gone(transaction), double.posts(transaction)
        kept = state == end.state and gone == end.gone and calls <= 1
        right &= kept
        shown.add_row(
            cell(end.line),
            cell(order),
            Text(state, STATE_STYLE.get(state, "red")),
            cell(money(gone, "USD") if gone else None),
            cell(calls or None),
            cell("yes", "green") if kept else cell(f"no: {end.state}, {money(end.gone)}", "red"),
        )
    out.print(shown)
    over: dict[str, Any] = double.overpaid()
    beside = {key for key in found if key not in world.expected}
    for key in sorted(beside):
        say("[red]wrong[/] {kind} case of {order}, which no story tells of", kind=key[0], order=key[1])
    sent = sum(one.amount for one in double.movements if one.kind == "refund")
    say(
        "\nCreem's own ledger: {sent} USD refunded in {calls} calls, {over} cents beyond what was paid.",
        sent=money(sent),
        calls=sum(1 for one in double.requests if one.method == "POST"),
        over=sum(over.values()),
    )
    return right and not over and not beside
