"""Cases and accounts: find one, read it, understand it, put it back."""

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.text import Text

from policy.lifecycle import CaseKind, CaseState
from policy.words import money
from worker.cases.book.book import BY_PERSON
from worker.cases.book.decided import asked_again, undecided
from worker.cases.book.known import accounts_called, no_account
from worker.cases.documents.document import account_document, document, find, payments_of, summary
from worker.cases.documents.document import listing as list_cases
from worker.cases.requeue import Plan
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.correspondence import files, mails
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Misconfigured
from worker.screen import flat, progress
from worker.store.bulk import Tx

SHOWN = 25
"""More plans than this are summed up instead of listed."""
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
        found = runtime.store.read(lambda tx: document(tx, find(tx, name), runtime.clock.now()))
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
        row, claimed = runtime.store.read(lambda tx: _with_claims(tx, name, runtime.clock.now()))
        explained = _explain(runtime.editions, row) | {"payments": claimed}
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


def _with_claims(tx: Tx, name: str, now: datetime) -> tuple[Any, list[dict[str, Any]]]:
    row = find(tx, name)
    return row, payments_of(tx, [row.case_id], now)[row.case_id]


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


def requeue(
    reason: output.Reason,
    names: Annotated[list[str] | None, typer.Argument(metavar="[CASE…]", help="Case, job or order ids.")] = None,
    state: Annotated[CaseState | None, typer.Option(help="Instead of names: all in this state.")] = None,
    kind: Annotated[CaseKind | None, typer.Option(help="All of this kind.")] = None,
    account: Annotated[str | None, typer.Option(help="All of this account.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="All whose last step failed.")] = False,
    before: Annotated[datetime | None, typer.Option(help="All opened before this moment, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many cases, longest open first.")] = 100,
    after: output.AfterCase = None,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Shows what would happen, then puts cases back: those named, or all that match. Never repeats an effect."""
    with one_clear_line():
        filtered = any((state, kind, account, stuck, before))
        if bool(names) == filtered or (names and after):
            raise Misconfigured("name cases, or filter with --state, --kind, --account, --stuck or --before; not both")
        runtime = output.runtime()
        step = runtime.requeuer
        chosen, in_all = names or [], len(names or [])
        if filtered:
            moment = before.replace(tzinfo=UTC) if before else None
            chosen, in_all = step.matching(
                state=state, kind=kind, account=account, stuck=stuck, before=moment, after=after, limit=limit
            )
        following = chosen[-1] if in_all > len(chosen) else None
        with progress() as bar:
            found = [step.plan(name) for name in bar.track(chosen, description="working out what would happen")]
        # a case has several names
        plans = list({plan.case_id: plan for plan in found}.values())
        if not as_json:
            _show_plans(plans)
            if following:
                more = "[yellow]{more} more match; these are the longest open. Those behind them: --after {after}[/]"
                output.say(more, more=in_all - len(plans), after=following)
        acting = [plan for plan in plans if not plan.nothing]
        if not dry_run and acting:
            ask(f"Put back {len(acting)} of {len(plans)}?", yes=yes)
            with progress() as bar:
                for plan in bar.track(acting, description="putting back"):
                    step.requeue(plan.case_id, by=output.actor(runtime.settings), reason=reason)
    if as_json:
        done = [plan.document() | {"requeued": not dry_run and not plan.nothing} for plan in plans]
        return output.page(done, following, dry_run=dry_run)
    if dry_run:
        output.nothing_changed()
    elif acting:
        output.say("{n} put back; the worker takes them within seconds.", n=len(acting))
    else:
        output.say("Nothing to do: no case was changed.")
        if any(plan.state == CaseState.DECLINED.value for plan in plans):
            output.say('What was declined is judged anew only with new facts: the runbook, "A wrong no", has what turns it.')


def _show_plans(plans: list[Plan]) -> None:
    if not plans:
        return output.say("No case matches; refunded and external ones are never put back.")
    if len(plans) > SHOWN:
        return _sum_up(plans)
    table = output.table("What requeueing does", "case", "job", "now", "then", "credits", "outside")
    for plan in plans:
        then = Text("nothing: stays as it is", "dim") if plan.nothing else output.state(plan.would_be)
        credits = f"+{plan.credits}" if plan.credits else None
        table.add_row(
            cell(plan.case_id),
            cell(plan.job_id or plan.order_id),
            output.state(plan.state),
            then,
            cell(credits),
            cell(", ".join(plan.effects) or None),
        )
    out.print(table)


def _sum_up(plans: list[Plan]) -> None:
    table = output.table("What requeueing does", "now", "then", "cases", "credits", "for example")
    grouped = Counter((plan.state, "" if plan.nothing else plan.would_be) for plan in plans)
    for (state, then), count in grouped.most_common():
        alike = [plan for plan in plans if plan.state == state and then == ("" if plan.nothing else plan.would_be)]
        credits = sum(plan.credits for plan in alike)
        table.add_row(
            output.state(state),
            output.state(then) if then else Text("nothing: stays as it is", "dim"),
            cell(count),
            cell(f"+{credits}" if credits else None),
            cell(alike[0].job_id or alike[0].order_id or alike[0].case_id),
        )
    out.print(table)
