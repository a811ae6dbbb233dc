"""The human queue: what waits, what each choice would do, and the decision."""

from typing import Annotated, Any

import typer
from rich.text import Text

from policy.words import money
from worker.cases.review.choices import Act
from worker.cases.review.queue import how_a_no_turns
from worker.cli import output
from worker.cli.cases import Name
from worker.cli.consent import ask
from worker.cli.correspondence import files, mails
from worker.cli.output import AsJson, cell, one_clear_line, out

Choice = Annotated[
    Act | None,
    typer.Option("--choice", help="What to do; by default what somebody proposed, or else the first remedy that is possible."),
]


def listing(as_json: AsJson = False, limit: output.Limit = 50, after: output.AfterCase = None) -> None:
    """What waits for a person, in the order received."""
    with one_clear_line():
        runtime = output.runtime()
        items, following = runtime.reviewer.queue(limit=limit, after=after)
        approved = runtime.reviewer.approved_by(output.actor(runtime.settings))
    if as_json:
        return output.page(items, following)
    if not items:
        return output.say("Nobody waits for a person.")
    columns = ("case", "about", "account", "why", "received (UTC)", "due (UTC)", "with")
    rows = [_row(item) for item in items]
    output.listed("Review, first come first served", columns, rows, sentence="why", below=("received (UTC)", "with"))
    output.say("[dim]{approved}[/]", approved=approved["said"])
    output.say("[dim]`refunds review show CASE` says what each choice would do[/]")
    output.more(following)


def _row(item: dict[str, Any]) -> tuple[Text, ...]:
    proposal = item["proposal"]
    return (
        cell(item["case_id"]),
        cell(item["job_id"] or item["order_id"] or item["kind"]),
        cell(item["account_id"]),
        cell(f"{proposal['choice']} proposed by {proposal['proposed_by']}" if proposal else item["reason"]),
        cell(item["received_at"][:16]),
        cell(item["due_at"][:16], "red" if item["overdue"] else ""),
        cell(item["taken_by"]),
    )


def show(name: Name, as_json: AsJson = False) -> None:
    """One case with its mails, its files, and what each choice would do. Nothing is taken or changed."""
    with one_clear_line():
        runtime = output.runtime()
        found = runtime.reviewer.look(name, by=output.actor(runtime.settings))
    if as_json:
        return output.document(found)
    case = found["case"]
    place = f"number {found['place']} in the queue" if found["place"] else "not in the queue"
    output.say("[bold]{id}[/]  {kind}, {state}, {place}", id=case["case_id"], kind=case["kind"], state=case["state"], place=place)
    output.line("why", case["reason"])
    output.line("promised by", found["due_at"], "red" if found["overdue"] else "")
    if found["creem_may_act_at"]:
        output.line("Creem may act", f"{found['creem_may_act_at']}: after three business days of silence it may refund by itself")
    if found["taken_by"]:
        output.line("with", f"{found['taken_by']} until {found['taken_until']}", "yellow")
    if found["proposal"]:
        p = found["proposal"]
        output.line("proposed", f"{p['choice']} by {p['proposed_by']}: {p['does']} ({p['reason']})", "yellow")
    output.line("you", found["approved_by_you"]["said"])
    mails(found["requests"])
    files(found["evidence"])
    for order in found["orders_to_name"]:
        paid = f"{money(order['amount'], order['currency'])}, {order['paid_at'][:10]}"
        # of several charges that share an order, each is named by itself
        called = order["order_id"] or order["purchase_id"]
        output.line("may mean", f"{called} ({paid}): `refunds review name CASE {order['purchase_id']}`")
    table = output.table("\nWhat each choice would do", "choice", "does", "people", "")
    for choice in found["choices"]:
        people = "two" if choice["needs_second"] else "one"
        style = "dim" if choice["refused"] else ""
        why = choice["refused"] or choice["second_because"]
        table.add_row(cell(choice["choice"], style), cell(choice["does"], style), people, cell(why, "yellow"))
    if not found["choices"]:
        said = "\nIt does not wait for a person: `refunds why {case}`{turns}"
        return output.say(said, case=case["case_id"], turns=how_a_no_turns(case["state"]))
    out.print(table)
    decide = "`refunds review approve {case} --choice CHOICE --reason WHY`"
    decide += ", or `refunds review decline {case} --reason WHY`" if found["waiting"] else ""
    output.say(f"\n[dim]{decide}[/]", case=case["case_id"])


def take(name: Name, as_json: AsJson = False) -> None:
    """Takes a case for fifteen minutes, so that nobody else decides it meanwhile."""
    with one_clear_line():
        runtime = output.runtime()
        by = output.actor(runtime.settings)
        runtime.reviewer.take(name, by=by)
    if as_json:
        return output.document({"case": name, "taken_by": by})
    output.say("{name} is yours for fifteen minutes.", name=name)


def approve(
    name: Name,
    reason: output.CustomerReason,
    choice: Choice = None,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Gives the remedy, or agrees to what somebody proposed; shows first what it does.

    The customer is told the reason, but for the end of a dispute (won, lost); where two people agree, the first one's.
    """
    _decide(name, choice, reason, dry_run=dry_run, yes=yes, as_json=as_json)


def decline(
    name: Name, reason: output.CustomerReason, dry_run: output.DryRun = False, yes: output.Yes = False, as_json: AsJson = False
) -> None:
    """Gives nothing; the customer is told the reason."""
    _decide(name, Act.DECLINE, reason, dry_run=dry_run, yes=yes, as_json=as_json)


def name(
    name: Name,
    order: Annotated[str, typer.Argument(help="The order, by any of its ids.")],
    reason: output.Reason,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Says which order of its account a mail means that names none; the case is then judged like any other."""
    with one_clear_line():
        runtime = output.judging()
        by = output.actor(runtime.settings)
        plan = runtime.reviewer.plan_name(name, order, by=by, reason=reason)
        if not as_json:
            output.say("[bold]name[/]: {told}.", told=plan["told"])
        if not dry_run:
            ask(f"Name {order} for {plan['case_id']}?", yes=yes)
            told = runtime.reviewer.name(name, plan["purchase_id"], by=by, reason=reason)
    if as_json:
        return output.document({"dry_run": True, **plan} if dry_run else told)
    if dry_run:
        return output.nothing_changed()
    output.say("{told}.", told=told["told"])


def withdraw(
    name: Name, reason: output.Reason, dry_run: output.DryRun = False, yes: output.Yes = False, as_json: AsJson = False
) -> None:
    """Ends a proposal without effect; where there is none, takes back a refund of which nothing was sent yet."""
    with one_clear_line():
        runtime = output.judging()
        by = output.actor(runtime.settings)
        plan = runtime.reviewer.plan_withdraw(name, by=by, reason=reason)
        if not as_json:
            proposed = f" It was proposed by {plan['proposed_by']}." if plan["proposed_by"] else ""
            output.say("[bold]withdraw[/]: {told}.{proposed}", told=plan["told"], proposed=proposed)
        if not dry_run:
            ask(f"Withdraw {plan['choice']} for {plan['case_id']}?", yes=yes)
            told = runtime.reviewer.withdraw(name, plan["choice"], by=by, reason=reason)
    if as_json:
        return output.document({"dry_run": True, **plan} if dry_run else told)
    if dry_run:
        return output.nothing_changed()
    output.say("{told}.", told=told["told"])


def _decide(name: str, choice: str | None, reason: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    with one_clear_line():
        runtime = output.judging()
        by = output.actor(runtime.settings)
        shown = None
        if dry_run or not yes:
            plan = runtime.reviewer.plan(name, choice, by=by)
            if not as_json:
                _show_plan(plan)
            if not dry_run:
                ask(f"{plan['choice']} for {plan['case_id']}: do it?", yes=yes)
            # what was shown, and not what has become the remedy at hand since
            choice, shown = plan["choice"], plan["shown"]
        if not dry_run:
            told = runtime.reviewer.decide(name, choice, by=by, reason=reason, shown=shown)
    if as_json:
        return output.document({"dry_run": True, **plan} if dry_run else told)
    if dry_run:
        return output.nothing_changed()
    output.say("{told}.", told=told["told"])
    if told["overtook"]:
        output.say("[dim]{n} that came earlier still wait; the reason is on record.[/]", n=told["overtook"])


def _show_plan(plan: dict[str, Any]) -> None:
    second = ""
    if plan["needs_second"]:
        because = f": {plan['second_because']}" if plan["second_because"] else ""
        second = f" A second person has to agree{because}."
    agrees = f" That agrees to what {plan['agrees_with']} proposed." if plan["agrees_with"] else ""
    output.say("[bold]{choice}[/]: {does}.{more}", choice=plan["choice"], does=plan["does"], more=second + agrees)
    output.say("[dim]{approved}[/]", approved=plan["approved_by_you"]["said"])
