"""`python -m tests.scenarios.hidden_meanwhile OWNER_URL`: prints what a task says in a process that began well, once row security
was switched on by the owner of the tables, and what it says once that was switched off again.
"""

import sys

import psycopg

from worker import tasks
from worker.app import runtime
from worker.observe import configure_logging


def main() -> None:
    configure_logging(runtime().settings)
    with psycopg.connect(sys.argv[1], autocommit=True) as owner:
        for word in (b"enable", b"disable"):
            owner.execute(b"alter table purchases " + word + b" row level security")
            print(tasks.sweep.apply(throw=True).result)


if __name__ == "__main__":
    main()
