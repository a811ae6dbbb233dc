"""`python -m tests.scenarios.one_task`: takes in what is on the stream, sends the hints for it, and is itself a task that takes
all of it along.
"""

from typing import Any

from worker import tasks
from worker.app import runtime
from worker.intake.entry import Entry
from worker.observe import configure_logging


def main() -> None:
    ours = runtime()
    configure_logging(ours.settings)
    found: Any = ours.redis.xrange(ours.settings.stream)
    accepted = ours.desk.accept([Entry(name.decode(), fields[b"event"], fields) for name, fields in found])
    tasks.hint_accepted(accepted)
    first = accepted[0]
    rows = [row.inbox_id for row in accepted]
    tasks.assess.apply(kwargs={"job": first.job_id, "event": first.event_id, "inbox": rows}, throw=True)


if __name__ == "__main__":
    main()
