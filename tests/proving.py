"""What every prover asks for and shows: a share of the plans or one of them alone, what was wrong, and how to play it again."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.faults import Fault
from worker.screen import say


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
    options.add_argument("--plan", type=known, help="play this one alone, by the name it is printed with, and show each door")
    return options.parse_args()


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
