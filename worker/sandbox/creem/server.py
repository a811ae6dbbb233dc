"""The double over real HTTP, on loopback: for the demo, for people, for tests in any language."""

import select
import socket
import struct
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from worker.clock import SystemClock
from worker.intake.process import stop_on_signals
from worker.listening import LOOPBACK, taking
from worker.sandbox.creem.answers import Answer, NoAnswer, Reply, as_json
from worker.sandbox.creem.control import PREFIX, control
from worker.sandbox.creem.deliveries import post_to
from worker.sandbox.creem.double import CreemDouble
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.words import Fault

BODY_LIMIT = 64 * 1024
TICK_SECONDS = 0.05


class CreemServer:
    """The double, listening while the `with` block lasts. A thread of its own does what is due, every 50 ms."""

    def __init__(self, double: CreemDouble, port: int = 0) -> None:
        self.double = double
        self._over = threading.Event()
        self._server = _Server((LOOPBACK, port), _handler(double, self._over))
        self._threads = (
            threading.Thread(target=self._server.serve_forever, args=(TICK_SECONDS,), name="creem-double", daemon=True),
            threading.Thread(target=self._tick, name="creem-double-clock", daemon=True),
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        # waits for the requests that are being answered
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def url(self) -> str:
        """What `REFUNDS_CREEM_BASE_URL` would be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _tick(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            self.double.tick()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    # a burst waits in line instead of being refused
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients that leave early are what the double is for."""


def _handler(double: CreemDouble, over: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_GET(self) -> None:
            self._handle()

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def _handle(self) -> None:
            # one request a connection: one that is closed on reuse would be a fault that nobody has switched on
            self.close_connection = True
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > BODY_LIMIT:
                # read to its end, or the answer could get lost in a reset
                self.rfile.read(min(int(length), 16 * BODY_LIMIT) if length.isdigit() else 0)
                self._say(as_json(413, {"status": 413, "error": "Payload Too Large"}))
                return
            body = self.rfile.read(int(length))
            if self.path.startswith(PREFIX):
                self._say(control(double, self.command, self.path, body))
            else:
                self._reply(double.request(self.command, self.path, dict(self.headers.items()), body))

        def _reply(self, reply: Reply) -> None:
            if isinstance(reply, Answer):
                self._say(reply)
            elif reply.how is Fault.TIMEOUT:
                self._keep_waiting(reply)
            elif reply.how is not Fault.DISCONNECTED:
                # the other side gets a reset instead of an orderly end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def _keep_waiting(self, reply: NoAnswer) -> None:
            while not over.is_set():
                readable, _, _ = select.select([self.connection], [], [], TICK_SECONDS)
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    return
                if reply.late is not None and reply.late.answer is not None:
                    self._say(reply.late.answer)
                    return

        def _say(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut_short else answer.body)

        def log_message(self, format: str, *args: object) -> None:
            # the double keeps its requests; stderr belongs to the logs of the worker
            pass

    return Handler


def serve(
    port: int,
    *,
    webhook_url: str | None = None,
    api_key: str = "creem_test_double",
    webhook_secret: str = "double-secret",  # noqa: S107 - opens nothing
    switches: Switches = Switches(),  # noqa: B008 - frozen
    seed: int = 0,
    say: Callable[[str], None] = partial(print, flush=True),  # noqa: B008 - frozen
) -> None:
    """Runs the double with a handful of payments until SIGINT or SIGTERM, and says where it is. For a process's main thread.

    Raises `Misconfigured` where it cannot listen.
    """
    over = stop_on_signals()
    deliver = None if webhook_url is None else post_to(webhook_url)
    double = CreemDouble(
        SystemClock(), api_key=api_key, webhook_secret=webhook_secret, switches=switches, deliver=deliver, seed=seed
    )
    payments = some_payments(double)
    with taking(LOOPBACK, port, host_named="--port", port_named="--port"):
        server = CreemServer(double, port)
    with server:
        say(f"url             {server.url}")
        say(f"api key         {api_key}")
        say(f"webhook secret  {webhook_secret}")
        say(f"webhooks go to  {webhook_url or 'nowhere (give a URL to have them)'}")
        for line in payments:
            say(line)
        over.wait()


def some_payments(double: CreemDouble) -> list[str]:
    """Three customers who bought, one with a subscription and its renewal; returns a line about each payment."""
    now, month = SystemClock().now(), timedelta(days=30)
    double.pay("tran_demo_pack", customer_id="cust_demo_1", amount=900, request_id="order-1", announce=True)
    double.pay("tran_demo_taxed", customer_id="cust_demo_2", amount=4900, tax=931, currency="EUR", announce=True)
    for number, began in enumerate((now - month, now), start=1):
        double.pay(
            f"tran_demo_month_{number}",
            customer_id="cust_demo_3",
            amount=1900,
            product_id="prod_month",
            subscription_id="sub_demo",
            paid_at=began,
            period_start=began,
            period_end=began + month,
            announce=True,
        )
    known = ("tran_demo_pack", "tran_demo_taxed", "tran_demo_month_1", "tran_demo_month_2")
    return [f"payment         {transaction_id}, {double.paid(transaction_id)} paid" for transaction_id in known]
