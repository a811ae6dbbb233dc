"""Dead letters: look, put back, put aside."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import typer

from policy.words import count
from worker.cases.dead import DeadLetters
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.output import AsJson, cell, one_clear_line
from worker.errors import Misconfigured, Refused
from worker.screen import progress

SHOWN = 20
"""Most letters that are named of each kind."""
NAMED = "A dead letter's id, or where it came from."
Name = Annotated[str, typer.Argument(metavar="DEAD", help=NAMED)]
MaybeName = Annotated[str | None, typer.Argument(metavar="[DEAD]", help=NAMED)]
AllOf = Annotated[str | None, typer.Option(metavar="REASON", help="Instead: every open letter of this reason.")]
COMES_BACK = "What fails again comes back here under its reason: `refunds dead list --by-reason`"
Most = Annotated[int, typer.Option(min=1, max=10_000, help="At most this many letters, oldest first.")]


def _letters() -> DeadLetters:
    return output.runtime().letters


def listing(
    everything: Annotated[bool, typer.Option("--all", help="Also those dealt with.")] = False,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="How many of each reason, with one to look at.")] = False,
    as_json: AsJson = False,
    limit: output.Limit = 50,
    after: output.AfterLetter = None,
) -> None:
    """What could not be read or handled, newest first."""
    if by_reason:
        return _by_reason(as_json)
    with one_clear_line():
        items, following = _letters().listing(state=None if everything else "open", limit=limit, after=after)
    if as_json:
        return output.page(items, following)
    if not items:
        return output.say("No dead letters.")
    names = ("dead_id", "reason", "detail", "bytes", "state")
    rows = [(*(cell(item[name]) for name in names), cell(item["received_at"][:19])) for item in items]
    columns = ("id", "reason", "detail", "bytes", "state", "received (UTC)")
    output.listed("Dead letters", columns, rows, sentence="detail", below=("received (UTC)", "bytes"))
    output.more(following)


def _by_reason(as_json: bool) -> None:
    with one_clear_line():
        groups = _letters().by_reason()
    if as_json:
        return output.page(groups, None)
    if not groups:
        return output.say("No dead letters.")
    columns = ("reason", "letters", "for example", "received (UTC)")
    rows = [
        (
            *(cell(group[name]) for name in ("reason", "count", "for_example")),
            cell(f"{group['oldest_at'][:19]} to {group['newest_at'][:19]}"),
        )
        for group in groups
    ]
    output.listed("Dead letters by reason", columns, rows, sentence="received (UTC)", below=())
    all_of = "`refunds dead requeue --all-of REASON --reason WHY`, or discard, for all of a kind"
    output.say(f"[dim]`refunds dead show ID` for one, {all_of}[/]")


def show(
    name: Name,
    as_json: AsJson = False,
    raw: Annotated[bool, typer.Option("--raw", help="The original bytes on stdout and nothing else.")] = False,
) -> None:
    """One dead letter with its original bytes, shown safely."""
    with one_clear_line():
        letters = _letters()
        if raw:
            typer.get_binary_stream("stdout").write(letters.raw(name))
            return
        item = letters.one(name)
    if as_json:
        return output.document(item)
    for label in ("dead_id", "origin", "reason", "detail", "state", "requeues", "received_at", "bytes", "sha256", "resolution"):
        output.line(label, item[label])
    text = output.clean(item["raw"])
    output.line("document", text if len(text) <= 2000 else f"{text[:2000]}… ({item['bytes']} bytes; --raw gives them all)")


def requeue(
    reason: output.Reason,
    name: MaybeName = None,
    all_of: AllOf = None,
    limit: Most = 1000,
    after: output.AfterLetter = None,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Puts a letter's document back to be handled like any other; refused while it still cannot be read."""
    with one_clear_line():
        one, kind = _which(name, all_of)
        letters, by = _letters(), output.actor(output.settings())
        if kind is not None:
            deed = _Deed(
                "Put back",
                "put back",
                "requeued",
                letters.plans,
                lambda each: letters.requeue(each, by=by, reason=reason),
                COMES_BACK,
            )
            return _do_all(deed, letters, kind, limit, after, dry_run=dry_run, yes=yes, as_json=as_json)
        if dry_run:
            return _show_plan(letters.plan(one), as_json)
        told = letters.requeue(one, by=by, reason=reason)
    if as_json:
        return output.document({"dead_id": one, "state": "requeued", "next": told})
    output.say("{told}.", told=told)
    output.say("[dim]{comes_back}[/]", comes_back=COMES_BACK)


def discard(
    reason: output.Reason,
    name: MaybeName = None,
    all_of: AllOf = None,
    limit: Most = 1000,
    after: output.AfterLetter = None,
    dry_run: output.DryRun = False,
    yes: output.Yes = False,
    as_json: AsJson = False,
) -> None:
    """Marks a letter as dealt with; its bytes stay."""
    with one_clear_line():
        one, kind = _which(name, all_of)
        letters, by = _letters(), output.actor(output.settings())
        if kind is not None:
            deed = _Deed(
                "Put aside",
                "put aside",
                "discarded",
                partial(map, letters.plan_discard),
                lambda each: letters.discard(each, by=by, reason=reason),
            )
            return _do_all(deed, letters, kind, limit, after, dry_run=dry_run, yes=yes, as_json=as_json)
        plan = letters.plan_discard(one)
        if dry_run:
            return _show_plan(plan, as_json)
        ask(f"Put {plan['dead_id']} ({plan['reason']}) aside?", yes=yes)
        letters.discard(one, by=by, reason=reason)
    if as_json:
        return output.document({"dead_id": one, "state": "discarded"})
    output.say("{one} is put aside; its bytes stay.", one=one)


def _which(name: str | None, all_of: str | None) -> tuple[str, str | None]:
    if (name is None) == (all_of is None):
        both = "; not both" if name is not None else ""
        raise Misconfigured(f"name one letter, or all of a reason with --all-of{both}")
    return name or "", all_of


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is done to many letters, in words and in fact."""

    asked: str
    done: str
    state: str
    plans: Callable[[Iterable[str]], Iterator[dict[str, str]]]
    do: Callable[[str], str]
    then: str | None = None
    """What may come of it later."""


def _do_all(
    deed: _Deed, letters: DeadLetters, kind: str, limit: int, after: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    chosen, following = letters.of_reason(kind, limit, after)
    if not chosen and kind not in (reasons := letters.reasons()):
        raise Misconfigured(f"--all-of: expected a reason that letters have ({', '.join(reasons)}), not {kind}")
    if dry_run:
        with progress() as bar:
            plans = list(deed.plans(bar.track(chosen, description="working out what would happen")))
        return _show_plans(plans, following, as_json)
    if chosen:
        ask(f"{deed.asked} {count(len(chosen), 'letter')} with reason {kind}?", yes=yes)
    items: list[dict[str, str]] = []
    with progress() as bar:
        for dead_id in bar.track(chosen, description="at the letters"):
            try:
                items.append({"dead_id": dead_id, "state": deed.state, "next": deed.do(dead_id)})
            except Refused as refusal:
                # one that still cannot be read keeps nobody else back
                items.append({"dead_id": dead_id, "state": "open", "next": str(refusal)})
    stayed = [item for item in items if item["state"] == "open"]
    if as_json:
        output.page(items, following)
    else:
        _show_done(items, stayed, deed.done)
        if deed.then and len(stayed) < len(items):
            output.say("[dim]{then}[/]", then=deed.then)
        _more(following)
    if stayed:
        raise typer.Exit(1)


def _show_done(items: list[dict[str, str]], stayed: list[dict[str, str]], done: str) -> None:
    if not items:
        return output.say("No open letter has that reason.")
    are = "is" if len(items) == 1 else "are"
    output.say("{n} of {all} {are} {put}.", n=len(items) - len(stayed), all=count(len(items), "letter"), are=are, put=done)
    for item in stayed[:SHOWN]:
        # a refusal names its letter
        output.say("[yellow]{next}[/]", next=item["next"])
    if len(stayed) > SHOWN:
        output.say("[dim]… and {more} more[/]", more=len(stayed) - SHOWN)


def _more(following: str | None) -> None:
    if following is not None:
        output.say("[dim]more of this reason are open; those after these: --after {after}[/]", after=following)


def _show_plan(plan: dict[str, str], as_json: bool) -> None:
    if as_json:
        return output.document({"dry_run": True, **plan})
    stays = "stay open" if plan["would_be"] == "open" else f"be {plan['would_be']}"
    output.say("[bold]{dead_id}[/] ({reason}) would {then}: {next}.", then=stays, **plan)
    output.nothing_changed()


def _show_plans(plans: list[dict[str, str]], following: str | None, as_json: bool) -> None:
    if as_json:
        return output.page(plans, following, dry_run=True)
    for (reason, then), number in Counter((plan["reason"], plan["would_be"]) for plan in plans).most_common():
        would = "would stay open" if then == "open" else f"would be {then}"
        output.say("[bold]{count}[/] with reason {reason} {would}:", count=number, reason=reason, would=would)
        alike = [plan for plan in plans if (plan["reason"], plan["would_be"]) == (reason, then)]
        for plan in alike[:SHOWN]:
            output.say("  {told}", told=plan["next"] if then == "open" else f"{plan['dead_id']}  {plan['next']}")
        if number > SHOWN:
            output.say("[dim]… and {more} more[/]", more=number - SHOWN)
    if not plans:
        output.say("No open letter has that reason.")
    _more(following)
    output.nothing_changed()
