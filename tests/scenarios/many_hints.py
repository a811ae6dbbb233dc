"""`python -m tests.scenarios.many_hints`: sends the hints of a flood of events, and prints for how many seconds it was at it."""

import time

from worker import tasks
from worker.app import runtime
from worker.cases.assess.assess import Assessed
from worker.intake.accept import Accepted
from worker.store.effects import EffectKind

ROUNDS = 30


def main() -> None:
    flood = [Accepted(number, f"evt_{number}", f"job_{number}") for number in range(runtime().settings.batch)]
    decided = Assessed(effects=[{"kind": EffectKind.ANNOUNCE.value, "state": "due"}] * len(flood))
    began = time.monotonic()
    for _ in range(ROUNDS):
        tasks.hint_accepted(flood, more=True)
        tasks._tell(decided)
    print(time.monotonic() - began)


if __name__ == "__main__":
    main()
