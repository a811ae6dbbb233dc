"""The double over real HTTP: the same answers, faults that are real on a socket, webhooks that really arrive."""

import http.server
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.sandbox.test_creem_world import KEY, SECRET
from worker.clock import SystemClock
from worker.sandbox.creem import CreemDouble, Lost, Switches
from worker.sandbox.creem.deliveries import HEADER, post_to, signature
from worker.sandbox.creem.server import CreemServer
from worker.sandbox.creem.words import Fault

PAYMENT = {"customer_id": "cust_1", "amount": 4900}
REFUND = {"transaction_id": "tran_1"}


@contextmanager
def a_server(switches: Switches = Switches(), **options: Any) -> Iterator[tuple[CreemDouble, httpx.Client]]:  # noqa: B008
    double = CreemDouble(SystemClock(), switches=switches, **options)
    double.pay("tran_1", customer_id="cust_1", amount=4900)
    with (
        CreemServer(double) as server,
        httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=5, trust_env=False) as client,
    ):
        yield double, client


def until(true: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 5
    while not true():
        assert time.monotonic() < give_up_at, "it never came true"


def test_a_refund_over_http_settles_by_the_clock_of_the_host() -> None:
    with a_server(Switches(settle_after=0.1, turns_early=False)) as (double, client):
        assert client.get("/v1/transactions", params={"transaction_id": "tran_1"}).json()["status"] == "paid"
        assert client.post("/v1/refunds", json=REFUND).json() == {"status": "pending"}
        assert client.get("/v1/refunds").status_code == 404
        until(lambda: client.get("/v1/transactions", params={"transaction_id": "tran_1"}).json()["status"] == "refunded")
        assert double.gone("tran_1") == 4900
        assert client.get("/v1/transactions", headers={"x-api-key": "creem_test_other"}).status_code == 403


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RESET, httpx.ReadError),
        (Fault.NOT_SENT, httpx.ReadError),
        (Fault.DISCONNECTED, httpx.RemoteProtocolError),
        (Fault.CUT_SHORT, httpx.RemoteProtocolError),
        (Fault.TIMEOUT, httpx.ReadTimeout),
    ],
)
def test_answers_that_do_not_come_are_the_errors_of_a_real_socket(fault: Fault, error: type[Exception]) -> None:
    with a_server(Switches(post=fault, post_side=Lost.AFTER_COMMIT, post_times=1)) as (double, client):
        with pytest.raises(error):
            client.post("/v1/refunds", json=REFUND, timeout=0.2)
        assert double.gone("tran_1") == (0 if fault is Fault.NOT_SENT else 4900)
        assert client.get("/v1/transactions", params={"transaction_id": "tran_1"}).status_code == 200


def test_answers_from_elsewhere_come_as_they_are() -> None:
    with a_server(Switches(get=Fault.HTML_502, get_times=1, post=Fault.REDIRECT)) as (_, client):
        answer = client.get("/v1/transactions", params={"transaction_id": "tran_1"})
        assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
        assert client.post("/v1/refunds", json=REFUND).headers["location"] == "/v1/elsewhere"


def test_a_slow_answer_comes_to_who_waits_and_is_committed_for_who_does_not() -> None:
    for patience in (0.05, 5):
        with a_server(Switches(slow_commit=0.2)) as (double, client):
            if patience < 0.2:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/refunds", json=REFUND, timeout=patience)
                assert double.movements == []
                until(lambda: bool(double.movements))
            else:
                assert client.post("/v1/refunds", json=REFUND, timeout=patience).json() == {"status": "pending"}
            assert double.gone("tran_1") == 4900


@pytest.mark.parametrize("both", [True, False])
def test_posts_at_the_same_moment_pay_once_or_each(both: bool) -> None:
    with a_server(Switches(both_accepted=both)) as (double, client), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/refunds", json=REFUND).status_code, range(8)))
        assert sorted(answers) == ([200] * 8 if both else [200] + [400] * 7)
        assert double.gone("tran_1") == 4900 * (8 if both else 1)
        assert double.posts("tran_1") == 8


def test_webhooks_are_posted_signed() -> None:
    heard: queue.Queue[tuple[bytes, str]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.put((self.rfile.read(int(self.headers["content-length"])), self.headers[HEADER]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        try:
            with a_server(deliver=post_to(f"http://127.0.0.1:{receiver.server_port}/webhooks/creem")) as (double, _):
                double.refund_in_dashboard("tran_1")
                body, signed = heard.get(timeout=5)
                assert signed == signature(SECRET, body)
                assert json.loads(body)["eventType"] == "refund.created"
        finally:
            receiver.shutdown()
            thread.join()


def test_people_do_what_happens_at_creem_by_its_control_routes() -> None:
    with a_server() as (double, client):
        payment = {"transaction_id": "tran_2", **PAYMENT, "subscription_id": "sub_1", "paid_at": "2026-03-02T10:00:00+00:00"}
        done = [
            client.post("/_double/pay", json=payment),
            client.post("/_double/dashboard_refund", json={"transaction_id": "tran_1", "amount": 900}),
            client.post("/_double/dispute", json={"transaction_id": "tran_1"}),
            client.post("/_double/cancel", json={"subscription_id": "sub_1", "scheduled": False}),
            client.post("/_double/switches", json={"transaction_id": "tran_2", "switches": {"answer": "succeeded"}}),
        ]
        assert [answer.status_code for answer in done] == [200] * 5
        assert client.post("/v1/refunds", json={"transaction_id": "tran_2"}).json() == {"status": "succeeded"}
        assert client.post("/_double/switches", json={"scenario": "low_balance_always"}).status_code == 200
        assert double.switches.low_balance > 1000
        ledger = client.get("/_double/ledger").json()
        assert [(one["kind"], one["amount"]) for one in ledger["movements"]] == [
            ("dashboard", 900), ("chargeback", 4000), ("refund", 4900),
        ]  # fmt: skip
        assert ledger["transactions"]["tran_2"] == {"paid": 4900, "gone": 4900, "posts": 1}
        assert ledger["overpaid"] == {}
        (seen,) = client.get("/_double/requests").json()["requests"]
        assert (seen["path"], seen["body"], seen["status"]) == ("/v1/refunds", {"transaction_id": "tran_2"}, 200)


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("pay", {"transaction_id": "tran_9"}, "missing 2 required keyword-only arguments"),
        ("pay", {"transaction_id": "tran_1", **PAYMENT}, "tran_1 was paid before"),
        ("pay", {"transaction_id": "tran_9", **PAYMENT, "paid_at": "yesterday"}, "Invalid isoformat string"),
        ("dashboard_refund", {"transaction_id": "tran_1", "amount": 5000}, "5000 cannot be given back"),
        ("dispute", {}, "'transaction_id' is missing or not known here"),
        ("cancel", {"subscription_id": "sub_9"}, "'sub_9' is missing or not known here"),
        ("switches", {"switches": {"answr": "failed"}}, "there is no switch 'answr'"),
        ("switches", {"scenario": "flood"}, "there is no scenario 'flood'"),
    ],
)
def test_a_control_route_says_what_is_wrong(path: str, body: dict[str, Any], why: str) -> None:
    with a_server() as (_, client):
        answer = client.post(f"/_double/{path}", json=body)
        assert answer.status_code == 400
        assert why in answer.json()["error"]
        assert client.get(f"/_double/{path}").status_code == 404


def test_a_body_without_end_is_not_read() -> None:
    with a_server() as (double, client):
        assert client.post("/v1/refunds", content=b"x" * 70_000).status_code == 413
        assert double.requests == []


def test_the_command_says_where_it_is_and_ends_when_told_to() -> None:
    program = "from worker.sandbox.creem.server import serve; serve(0, seed=3)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("url").strip()
        with httpx.Client(base_url=url, headers={"x-api-key": KEY}, trust_env=False) as client:
            found = client.get("/v1/transactions/search", params={"customer_id": "cust_demo_3"}).json()
            assert found["pagination"]["total_records"] == 2
            assert client.post("/v1/refunds", json={"transaction_id": "tran_demo_taxed"}).json() == {"status": "pending"}
            assert client.get("/_double/ledger").json()["transactions"]["tran_demo_taxed"]["gone"] == 5831
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert "api key         creem_test_double" in rest
        assert process.wait(5) == 0
