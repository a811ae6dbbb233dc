"""`refunds requeue`: puts cases back."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from policy.lifecycle import CaseKind, CaseState
from worker.cases.requeue import Plan, Requeuer
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Misconfigured
from worker.screen import progress

SHOWN = 25
"""More plans than this are summed up instead of listed."""


def run(
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
        runtime = output.judging()
        step = runtime.requeuer
        chosen, in_all = names or [], len(names or [])
        if filtered:
            moment = before.replace(tzinfo=UTC) if before else None
            chosen, in_all = step.matching(
                state=state, kind=kind, account=account, stuck=stuck, before=moment, after=after, limit=limit
            )
        following = chosen[-1] if in_all > len(chosen) else None
        plans = _plans(step, chosen)
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


def _plans(step: Requeuer, names: list[str]) -> list[Plan]:
    with progress() as bar:
        found = [step.plan(name) for name in bar.track(names, description="working out what would happen")]
    # a case has several names
    return list({plan.case_id: plan for plan in found}.values())


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
    table = output.table("What requeueing does", "now", "then", "cases", "credits", "outside", "for example")
    groups: dict[tuple[str, str], list[Plan]] = defaultdict(list)
    for plan in plans:
        groups[plan.state, "" if plan.nothing else plan.would_be].append(plan)
    for (state, then), alike in sorted(groups.items(), key=lambda group: -len(group[1])):
        credits = sum(plan.credits for plan in alike)
        table.add_row(
            output.state(state),
            output.state(then) if then else Text("nothing: stays as it is", "dim"),
            cell(len(alike)),
            cell(f"+{credits}" if credits else None),
            cell(sum(len(plan.effects) for plan in alike) or None),
            cell(alike[0].job_id or alike[0].order_id or alike[0].case_id),
        )
    out.print(table)
