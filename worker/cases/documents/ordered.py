"""Where the order of a re-run stands while the pipeline has not taken it, in words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from policy.lifecycle import CaseState
from policy.words import count
from worker.clock import written
from worker.store.bulk import Tx
from worker.store.effects import EffectKind, rerun_key
from worker.store.tables import effects


def orders_pending(tx: Tx, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """By case, one line about the order of each re-run that is still to be heard."""
    wanted = [rerun_key(row.job_id) for row in rows if row.state == CaseState.RERUNNING.value and row.job_id]
    if not wanted:
        return {}
    pending = effects.c.kind == EffectKind.RERUN.value, effects.c.state.in_(["due", "claimed"])
    return {row.case_id: _stands(row) for row in tx.all(select(effects).where(tx.among(effects.c.key, wanted), *pending))}


def _stands(order: Row[Any]) -> str:
    deadline = datetime.fromisoformat(order.payload["deadline_at"])
    under_way = order.state == "claimed"
    tries = order.attempts - 1 if under_way else order.attempts
    said = [f"the pipeline has not taken the order in {count(tries, 'turn')}" if tries else "the pipeline has no order yet"]
    if tries and order.result:
        said[0] += f": {order.result}"
    if under_way:
        said.append("an order is under way")
    if order.due_at < deadline:
        said.append(f"next turn {written(order.due_at)}")
    return "; ".join([*said, f"without an answer by {written(deadline)} it counts as failed"])
