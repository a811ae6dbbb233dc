"""A made-up world for the demo and the tests: a product's history, the events that follow, and how each job must end.

Everything comes from the seed and the time passed in, so the same world can be made twice. The end of each job is written in
its story (`mishaps.py`, `circumstances.py`); nothing here asks the policy.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any

from worker.intake.wire import EventType, event_document
from worker.sandbox.cast import Member, account_opened, account_record, cast, purchase_records
from worker.sandbox.pipeline import RerunPlan
from worker.sandbox.stories import STORIES, Story
from worker.sandbox.telling import SOURCE, Expectation, Role, Telling
from worker.strict import MAX_BYTES

DUPLICATED = 0.06
REORDERED = 0.15
"""Shares of the documents sent twice, and of the stories whose events come in another order."""


@dataclass(frozen=True, slots=True)
class World:
    """A history to import, events to send after it, and what must come of them.

    `late` is to be sent when the cases of `events` have settled. `dead_letters` is how many of the documents must be set
    aside; `noise` says how many of which disturbance there are, in words.
    """

    import_lines: list[str]
    events: list[str]
    late: list[str]
    plans: dict[str, RerunPlan]
    expected: dict[str, Expectation]
    dead_letters: int
    noise: dict[str, int]

    def plan(self, job_id: str) -> RerunPlan:
        """How the re-run of a job goes; a job without a plan delivers. To be given to `PipelineDouble`."""
        return self.plans.get(job_id, RerunPlan.DELIVERS)


def make_world(seed: int, accounts: int = 40, jobs: int = 300, *, now: datetime) -> World:
    """The world of this seed as it stands at `now`, with every story told at least once.

    `accounts` is a lower bound: no account gets so many jobs that its reversals would go to a person. Raises `ValueError`
    where `jobs` is too small for all the stories.
    """
    if jobs < len(STORIES):
        raise ValueError(f"{len(STORIES)} stories need at least as many jobs, not {jobs}")
    now = now.astimezone(UTC).replace(microsecond=0)
    chance = Random(seed)
    told = [*STORIES, *chance.choices(STORIES, [story.weight for story in STORIES], k=jobs - len(STORIES))]
    members = cast(seed, accounts, Counter(story.role for story in told))
    tellings = list(_tell(seed, told, members, now, chance))
    debits = Counter[str]()
    for _, telling in tellings:
        debits[telling.account_id] += telling.debit
    everybody = [member for role in Role for member in members[role]]
    purchases = [record for m in everybody for record in purchase_records(m, debits[m.account_id], now, chance)]
    # every other account is heard of only after its jobs
    openings = [
        chance.randint(2, 15) if turn % 2 == 0 else chance.randint(400, 600) for turn in range(len(members[Role.NEWCOMER]))
    ]
    newcomers = [(m, now - timedelta(minutes=ago)) for m, ago in zip(members[Role.NEWCOMER], openings, strict=True)]
    sent, noise = _mixed([telling for _, telling in tellings], newcomers, _broken(seed, now), chance)
    records = [record for m in everybody if (record := account_record(m))]
    records += sorted(purchases, key=lambda record: (record["paid_at"], record["id"]))
    records += [record for _, telling in tellings for record in telling.records]
    return World(
        import_lines=[json.dumps(record, separators=(",", ":")) for record in records],
        events=sent,
        late=[document for _, telling in tellings for document in telling.late],
        plans={telling.job_id: telling.plan for _, telling in tellings if telling.plan is not None},
        expected={t.job_id: Expectation(story.name, t.states, t.credits) for story, t in tellings},
        dead_letters=noise["broken documents"] + noise["used ids with another content"],
        noise=noise,
    )


def _tell(
    seed: int, told: list[Story], members: dict[Role, list[Member]], now: datetime, chance: Random
) -> Iterator[tuple[Story, Telling]]:
    turns = Counter[str]()
    parts = Counter[Role]()
    for number, story in enumerate(told, 1):
        cast_for = members[story.role]
        member = cast_for[parts[story.role] % len(cast_for)]
        telling = Telling(
            job_id=f"job_{seed}_{number:05}",
            account_id=member.account_id,
            # above three credits a job cannot be paid from the small first purchase alone
            price=chance.randint(4 if story.role is Role.TWO_LOTS else 1, 12),
            layers=chance.randint(4, 12),
            at=now - timedelta(minutes=chance.randint(30, 360), seconds=chance.randint(0, 59)),
            turn=turns[story.name],
            chance=chance,
        )
        story.tell(telling)
        turns[story.name] += 1
        parts[story.role] += 1
        yield story, telling


def _mixed(
    tellings: list[Telling], newcomers: list[tuple[Member, datetime]], broken: list[str], chance: Random
) -> tuple[list[str], dict[str, int]]:
    """All documents in the order they are sent, with the disturbances counted."""
    placed: list[tuple[float, str]] = []
    noise = Counter[str]()
    for telling in tellings:
        documents = list(telling.sent)
        if len(set(documents)) > 1 and not telling.in_order and chance.random() < REORDERED:
            while documents == telling.sent:
                chance.shuffle(documents)
            noise["stories told in another order"] += 1
        # a job's own events come minutes apart, so the events of many jobs interleave
        steps = accumulate((chance.uniform(30, 600) for _ in documents), initial=telling.at.timestamp())
        for place, document in zip(steps, documents, strict=False):
            placed.append((place, document))
            # not for a conflict: its repeat would be one more document to set aside, and the count is part of what is expected
            if not telling.conflicts and chance.random() < DUPLICATED:
                placed.append((place + chance.uniform(1, 3600), document))
        noise["used ids with another content"] += telling.conflicts
    placed += [(opened_at.timestamp(), account_opened(member, opened_at)) for member, opened_at in newcomers]
    first, last = min(placed)[0], max(placed)[0]
    placed += [(chance.uniform(first, last), document) for document in broken]
    noise["broken documents"] = len(broken)
    sent = [document for _, document in sorted(placed)]
    noise["repeated documents"] = len(sent) - len(set(sent))
    return sent, dict(noise)


def _broken(seed: int, now: datetime) -> list[str]:
    """Documents that no version of the worker can handle, one for each way of being broken."""

    def event(name: str, type: str = EventType.FAILED, at: datetime = now, **changed: Any) -> str:
        data = {"job_id": f"job_{seed}_nobody", "account_id": f"acc_{seed}_001", "attempt": 1, "failure": {"code": "model_error"}}
        data = {key: value for key, value in (data | changed).items() if value is not None}
        return event_document(type, data, id=f"evt-{seed}-{name}", source=SOURCE, time=at)

    return [
        event("cut")[:-20],
        "CUDA out of memory",
        f"[{event('list')}]",
        event("version").replace('"specversion":"1.0"', '"specversion":"0.3"'),
        event("type", "layer_job.exploded"),
        event("no-job", job_id=None),
        event("no-failure", failure=None),
        event("attempt", attempt="first"),
        event("path", job_id="../../admin"),
        event("future", at=now + timedelta(days=30)),
        event("twice").replace('"attempt":1', '"attempt":1,"attempt":2'),
        event("number").replace('"attempt":1', '"attempt":NaN'),
        event("large", failure={"code": "model_error", "message": "x" * MAX_BYTES}),
    ]
