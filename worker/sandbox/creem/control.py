"""What Creem does not have: routes under `/_double/` by which people and tests in other languages do what happens at Creem.

| route | body |
|---|---|
| `POST /_double/pay` | the arguments of `CreemDouble.pay`, times in ISO 8601 |
| `POST /_double/dashboard_refund` | `transaction_id`, `amount` (all that is left without it) |
| `POST /_double/dispute` | `transaction_id` |
| `POST /_double/win_dispute` | `transaction_id` |
| `POST /_double/cancel` | `subscription_id`, `scheduled` |
| `POST /_double/switches` | `switches` (fields of `Switches`) or `scenario` (of the catalogue); `transaction_id` for one alone |
| `GET /_double/ledger` | answers movements, per transaction paid and gone, and what was overpaid |
| `GET /_double/requests` | answers what arrived |
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from worker.sandbox.creem.answers import Answer, as_json
from worker.sandbox.creem.catalogue import named
from worker.sandbox.creem.documents import iso
from worker.sandbox.creem.double import CreemDouble
from worker.sandbox.creem.switches import from_document
from worker.strict import Malformed, loads

PREFIX = "/_double/"
_TIMES = ("paid_at", "period_start", "period_end")


def control(double: CreemDouble, method: str, path: str, raw: bytes) -> Answer:
    """Does what is asked: 200, or 400 with the reason, or 404."""
    what = path.removeprefix(PREFIX)
    if method == "GET" and what in _READS:
        return as_json(200, _READS[what](double))
    if method != "POST" or what not in _ACTS:
        return as_json(404, {"error": f"there is no {method} {path}"})
    try:
        _ACTS[what](double, loads(raw))
    except (Malformed, ValueError, TypeError) as error:
        return as_json(400, {"error": str(error)})
    except KeyError as error:
        return as_json(400, {"error": f"{error} is missing or not known here"})
    return as_json(200, {"done": what})


def _pay(double: CreemDouble, given: dict[str, Any]) -> None:
    times = {name: datetime.fromisoformat(given[name]) for name in _TIMES if given.get(name) is not None}
    double.pay(given["transaction_id"], **{name: value for name, value in given.items() if name != "transaction_id"} | times)


def _switches(double: CreemDouble, given: dict[str, Any]) -> None:
    switches = named(given["scenario"]) if "scenario" in given else from_document(given["switches"])
    if "transaction_id" in given:
        double.set(given["transaction_id"], switches)
    else:
        double.switches = switches


def _ledger(double: CreemDouble) -> dict[str, Any]:
    moved = [
        {"at": iso(one.at), "transaction_id": one.transaction_id, "amount": one.amount, "kind": one.kind}
        for one in double.movements
    ]
    known = {one.transaction_id for one in double.movements}
    sums = {each: {"paid": double.paid(each), "gone": double.gone(each), "posts": double.posts(each)} for each in sorted(known)}
    return {"movements": moved, "transactions": sums, "overpaid": double.overpaid()}


def _requests(double: CreemDouble) -> dict[str, Any]:
    seen = [
        {"at": iso(one.at), "method": one.method, "path": one.path, "query": one.query, "body": one.body, "status": one.status}
        for one in list(double.requests)
    ]
    return {"requests": seen}


_READS: dict[str, Callable[[CreemDouble], dict[str, Any]]] = {"ledger": _ledger, "requests": _requests}
_ACTS: dict[str, Callable[[CreemDouble, dict[str, Any]], None]] = {
    "pay": _pay,
    "dashboard_refund": lambda double, given: double.refund_in_dashboard(given["transaction_id"], given.get("amount")),
    "dispute": lambda double, given: double.dispute(given["transaction_id"]),
    "win_dispute": lambda double, given: double.win_dispute(given["transaction_id"]),
    "cancel": lambda double, given: double.cancel_subscription(
        given["subscription_id"], scheduled=bool(given.get("scheduled", True))
    ),
    "switches": _switches,
}
