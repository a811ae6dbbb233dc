"""What every prover asks for and shows: a share of the plans or one of them alone, what was wrong, and how to play it again."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tests.faults import Fault
from worker.screen import out, say, table


def asked(about: str | None, plan: Callable[[str], Any]) -> argparse.Namespace:
    """The options of the command line: `every`, `only`, `processes` and `plan`, which is None where all are to be played."""

    def known(text: str) -> Any:
        try:
            return plan(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    options = argparse.ArgumentParser(description=about)
    options.add_argument("--every", type=int, default=1, help="play every Nth plan of each set")
    options.add_argument("--only", default="", help="play the sets whose name contains this")
    options.add_argument("--processes", type=int, default=2)
    may_be_on_postgres(options)
    options.add_argument("--plan", type=known, help="play this one alone, by the name it is printed with, and show each door")
    return options.parse_args()


def may_be_on_postgres(options: argparse.ArgumentParser) -> None:
    """The option to play on the engine of production."""
    options.add_argument("--postgres", action="store_true", help="on a real Postgres, where a play takes a few times as long")


def went_wrong(doors: Sequence[str], faults: Iterable[Fault]) -> Iterator[str]:
    """At which of the doors that one run passed, and how, as `show_met` splits it: of each fault that it came to."""
    for fault in faults:
        if fault.passage < len(doors):
            yield f"{doors[fault.passage]} | {fault.how}"


def show_met(met: Counter[str], title: str = "What went wrong where", **more: Counter[str]) -> None:
    """How often each kind of thing went wrong at each kind of door, and what `more` counts of it."""
    shown = table(f"\n{title}", "door", "what", "times", *(name.replace("_", " ") for name in more))
    for where, times in sorted(met.items()):
        shown.add_row(*where.split(" | "), str(times), *(str(counted[where] or "") for counted in more.values()))
    out.print(shown)


def show_doors(doors: Sequence[str], faults: Iterable[Fault]) -> None:
    """Every door that one run passed, with what went wrong at it."""
    known = list(faults)
    for number, door in enumerate(doors):
        wrong = ", ".join(fault.how.value for fault in known if fault.passage == number)
        say("{number:>4}  {door:<24} [red]{wrong}[/]", number=number, door=door, wrong=wrong)


def show_wrong(prover: str, wrong: Sequence[tuple[str, list[str]]], most: int = 40) -> None:
    """The plans that did not hold, each as the command that plays it again."""
    for plan, said in wrong[:most]:
        say('[red].venv/bin/python -m {prover} --plan "{plan}"[/]: {wrong}', prover=prover, plan=plan, wrong="; ".join(said))
