"""Cases and accounts: find one, read it, understand it."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from policy.lifecycle import CaseKind, CaseState
from policy.words import money
from worker.cases.book.book import BY_PERSON
from worker.cases.book.decided import asked_again, undecided
from worker.cases.book.known import accounts_called, no_account
from worker.cases.documents.document import account_document, document, find, of_the_order, payments_of, summary
from worker.cases.documents.document import listing as list_cases
from worker.cli import output
from worker.cli.correspondence import files, mails
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.screen import flat
from worker.store.bulk import Tx

Name = Annotated[str, typer.Argument(metavar="CASE", help="A case, job or order id.")]


def listing(
    state: Annotated[CaseState | None, typer.Option(help="Only this state.")] = None,
    account: Annotated[str | None, typer.Option(help="Only this account, by id or mail address.")] = None,
    kind: Annotated[CaseKind | None, typer.Option(help="Only this kind.")] = None,
    unproved: Annotated[
        bool, typer.Option("--unproved", help="Only those with a refund call whose outcome is not proved.")
    ] = False,
    as_json: AsJson = False,
    limit: output.Limit = 50,
    after: output.AfterCase = None,
) -> None:
    """Cases, newest first."""
    with one_clear_line():
        wanted = {"state": state.value if state else None, "account": account, "kind": kind.value if kind else None}
        runtime = output.runtime()
        items, following = runtime.store.read(
            lambda tx: list_cases(tx, runtime.clock.now(), **wanted, unproved=unproved, limit=limit, after=after)
        )
    if as_json:
        return output.page(items, following)
    if not items:
        if account:
            missing = runtime.store.read(lambda tx: None if accounts_called(tx, account) else no_account(tx, account))
            if missing:
                return output.say("{missing}.", missing=missing)
        return output.say("No cases{what}.", what=" like that" if unproved or any(wanted.values()) else " yet")
    columns = ("case", "job or order", "account", "state", "credits", "why", "opened (UTC)")
    rows = [
        (
            cell(item["case_id"]),
            cell(item["job_id"] or item["order_id"]),
            cell(item["account_id"]),
            output.state(item["state"]),
            cell(item["credits_reversed"] or None),
            cell(item["stands"]),
            cell(item["opened_at"][:19]),
        )
        for item in items
    ]
    output.listed("Cases", columns, rows, sentence="why", below=("opened (UTC)", "credits"))
    output.more(following)


def show(name: Name, as_json: AsJson = False) -> None:
    """One case, whole, with its history."""
    with one_clear_line():
        runtime = output.runtime()
        found, beside = runtime.store.read(lambda tx: _whole(tx, name, runtime.clock.now()))
    _say_beside(name, found["case_id"], beside)
    if as_json:
        return output.document(found)
    _head(found)
    output.line("account", found["account_id"])
    if found["job_id"]:
        output.line("credits", f"{found['credits_reversed']} of {found['credits_owed']} owed came back")
        output.line("re-runs", "; ".join(filter(None, [str(found["reruns"]), found["rerun_stands"]])))
    output.line("failed" if found["job_id"] else "since", found["failed_at"])
    output.line("promised by", found["due_at"])
    if found["closed_at"]:
        output.line("closed", found["closed_at"])
    elif all(payment["closed_at"] for payment in found["payments"]):
        # while money is in flight its own turns count
        output.line("next look", found["next_action_at"])
    for payment in found["payments"]:
        _payment(payment)
    if found["delivered_late"]:
        output.line("goodwill", "the job succeeded after the credits came back; the customer keeps both")
    mails(found["requests"])
    files(found["evidence"])
    for notice in found["notices"]:
        told = f"{notice['kind'].replace('_', ' ')}: {notice['state']}"
        output.line("notice", f"{(notice['ended_at'] or notice['due_at'])[:16]}Z  {told}", "dim")
    columns = ("when (UTC)", "what", "by", "detail")
    rows = [
        (cell(row["at"][:23]), cell(row["event"]), cell(row["by"]), cell(_said(row["detail"]), "dim")) for row in found["history"]
    ]
    output.listed("\nHistory", columns, rows, sentence="detail", below=("by",))


def _payment(payment: dict[str, Any]) -> None:
    output.line("payment", f"{_paid(payment)}  {payment['state']}: {payment['stands']}")
    for call in payment["calls"]:
        answer = " ".join(str(call[name]) for name in ("outcome", "http_status", "status", "trace_id") if call[name] is not None)
        output.line("", f"call {call['attempt']} at {call['armed_at']}: {answer or 'no answer yet'}", "dim")


def _paid(payment: dict[str, Any]) -> str:
    return f"{payment['transaction_id']}  {money(payment['amount'], payment['currency'])}"


def _said(detail: dict[str, Any]) -> str:
    if "rule" in detail:  # the reason is `refunds why`'s to explain
        return f"{detail['outcome']} by {detail['rule']} ({detail['clause']})"
    return ", ".join(f"{name.replace('_', ' ')} {flat(value)}" for name, value in detail.items() if value not in (None, "", []))


def _head(found: dict[str, Any]) -> None:
    decision = found["decision"]
    title = Text.assemble((found["case_id"], "bold"), "  ", output.state(found["state"]))
    body = Text(output.clean(decision["reason"] if decision else found["reason"] or "not decided yet"))
    if decision:
        body.append(
            f"\n{decision['outcome']} by rule {decision['rule']}, clause {decision['clause']}, terms {decision['terms']}", "dim"
        )
    out.print(
        Panel(
            body,
            title=title,
            title_align="left",
            subtitle=found["job_id"] or found["order_id"],
            subtitle_align="left",
            expand=False,
        )
    )


def why(name: Name, as_json: AsJson = False) -> None:
    """The decision in plain words: clause, facts, and what would have changed it."""
    with one_clear_line():
        runtime = output.runtime()
        row, beside, claimed = runtime.store.read(lambda tx: _with_claims(tx, name, runtime.clock.now()))
        explained = _explain(runtime.editions, row) | {"payments": claimed}
    _say_beside(name, row.case_id, beside)
    if as_json:
        return output.document(explained)
    _head(summary(row))
    if explained["decision"]:
        _decided(explained, row)
    else:
        output.say("{said}", said=explained["undecided"])
    for payment in claimed:
        output.say("\n[bold]The money[/] ({paid}): {stands}", paid=_paid(payment), stands=payment["stands"])


def _decided(explained: dict[str, Any], row: Any) -> None:
    output.say("\n[bold]The clause[/] ({clause}): {text}", clause=row.clause, text=explained["clause_text"])
    table = output.table("\nWhat decided", "fact", "value")
    because = explained["because"]
    for fact, value in because.items():
        in_money = fact == "amount" and "currency" in because
        table.add_row(cell(fact.replace("_", " ")), cell(money(value, because["currency"]) if in_money else flat(value)))
    out.print(table)
    counterfactual = explained["counterfactual"]
    if counterfactual:
        output.say(
            "\nHad [bold]{change}[/], the outcome would have been [bold]{outcome}[/] ({rule}).",
            change=counterfactual["change"],
            outcome=counterfactual["outcome"],
            rule=counterfactual["rule"],
        )
    else:
        output.say("\nNo single change of these facts would have changed the outcome.")
    if row.rule == BY_PERSON:
        output.say("\nA person decided that: {reason}. The policy had said:", reason=row.reason)
        output.say("[dim]{outcome} ({rule}): {reason}[/]", **explained["policy_said"])
    if not explained["same_again"]:
        output.say(
            "[red]Asked again with the same facts, the policy now answers otherwise: was the terms file changed in place?[/]"
        )


def _whole(tx: Tx, name: str, now: datetime) -> tuple[dict[str, Any], list[str]]:
    row = find(tx, name)
    return document(tx, row, now), of_the_order(tx, row, name)


def _with_claims(tx: Tx, name: str, now: datetime) -> tuple[Any, list[str], list[dict[str, Any]]]:
    row = find(tx, name)
    return row, of_the_order(tx, row, name), payments_of(tx, [row.case_id], now)[row.case_id]


def _say_beside(name: str, case_id: str, of_an_order: list[str]) -> None:
    if of_an_order:
        output.say_wrong(f"{name} is a job, of {case_id}, which this is, and an order, of {', '.join(of_an_order)}")


def _explain(editions: Any, row: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"case_id": row.case_id, "state": row.state, "decision": summary(row)["decision"]}
    if row.facts is None or row.terms is None:
        said = undecided(row) or f"No facts are kept of it: {row.reason}."
        return found | {"decision": None, "missing": row.reason, "because": {}, "counterfactual": None, "undecided": said}
    return found | asked_again(row, editions) | {"facts": row.facts}


def account(
    name: Annotated[str, typer.Argument(metavar="ID", help="The account's id, or its mail address.")], as_json: AsJson = False
) -> None:
    """Balance, lots, frozen credits and standing of an account."""
    with one_clear_line():
        found = output.runtime().store.read(lambda tx: account_document(tx, name))
    if as_json:
        return output.document(found)
    standing = found["status"] if found["known"] else "named by events only; nothing vouches for it yet"
    output.say("[bold]{id}[/]  {standing}  {email}", id=found["account_id"], standing=standing, email=found["email"] or "")
    if found["suspended_under"]:
        lift = f'`refunds review approve {found["suspended_under"]} --choice reinstate --reason "…"` lifts it'
        output.line("suspended", f"by two people under {found['suspended_under']}; {lift}", "yellow")
    output.line("credits to spend", found["credits"], "bold")
    if found["frozen"]:
        output.line("frozen", found["frozen"], "yellow")
    table = output.table("\nLots, oldest first", "purchase", "granted", "remaining", "spent", "frozen", "void")
    for lot in found["lots"]:
        table.add_row(*(cell(lot[column]) for column in ("purchase_id", "granted", "remaining", "spent", "frozen", "void")))
    out.print(table)
