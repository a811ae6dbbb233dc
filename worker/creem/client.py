"""Creem over HTTP: reads that are repeated, and one refund call that never is."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import httpx
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying, retry_if_result, wait_random_exponential

from worker.creem.answers import BODY_LIMIT, Answer, classify, classify_error
from worker.creem.environment import Address, Environment
from worker.creem.reading import Unreadable
from worker.creem.transactions import Transaction, read_transaction
from worker.deadline import DeadlineTransport
from worker.errors import InvariantBroken, RefundsError, TryLater, one_line
from worker.observe import log

TRIES = 4


class DeadlinePassed(RefundsError):
    """The permission to send has run out."""


class CreemRefused(RefundsError):
    """Creem refused a read."""

    def __init__(self, http_status: int, detail: str) -> None:
        super().__init__(http_status, detail)
        self.http_status, self.detail = http_status, detail

    @property
    def key_trouble(self) -> bool:
        return self.http_status in {401, 403}

    def __str__(self) -> str:
        return f"Creem answered {self.http_status}: {self.detail}"


class Armed:
    """The permission to send one refund: made by the arming commit alone, used up by the call."""

    def __init__(self, transaction_id: str, until: float) -> None:
        self._transaction_id, self.until, self._spent = transaction_id, until, False

    def spend(self, now: float) -> str:
        if self._spent:
            raise InvariantBroken(f"the permission for {self._transaction_id} was used before")
        self._spent = True
        if now >= self.until:
            raise DeadlinePassed(f"the permission for {self._transaction_id} ran out")
        return self._transaction_id


class Creem(Protocol):
    """The payment provider."""

    @property
    def environment(self) -> Environment: ...
    def transaction(self, transaction_id: str) -> Transaction | None: ...
    def transactions_of_customer(self, customer_id: str) -> list[Transaction]: ...
    def transactions_of_order(self, order_id: str) -> list[Transaction]: ...
    def refund(self, armed: Armed) -> Answer: ...


class CreemHttp:
    def __init__(self, address: Address, api_key: SecretStr | str, *, read_seconds: float = 10.0, refund_seconds: float = 30.0,
                 client: httpx.Client | None = None, sleep: Callable[[float], None] = time.sleep,
                 timer: Callable[[], float] = time.monotonic, per_second: float = 5.0) -> None:
        self._address = address
        self._key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        self._read, self._refund, self._sleep, self._timer = read_seconds, refund_seconds, sleep, timer
        self._client = client or httpx.Client(transport=DeadlineTransport(timer), trust_env=False)
        self._gap, self._next = 1 / per_second, float("-inf")

    @property
    def environment(self) -> Environment:
        return self._address.environment

    def transaction(self, transaction_id: str) -> Transaction | None:
        document = self._get("/v1/transactions", {"transaction_id": transaction_id})
        return None if document is None else self._readable(document)

    def transactions_of_customer(self, customer_id: str) -> list[Transaction]:
        return self._search({"customer_id": customer_id})

    def transactions_of_order(self, order_id: str) -> list[Transaction]:
        return self._search({"order_id": order_id})

    def _search(self, which: dict[str, str]) -> list[Transaction]:
        found: list[Transaction] = []
        page = 1
        while True:
            document = self._get("/v1/transactions/search", {**which, "page_number": str(page), "page_size": "100"}) or {}
            found += [self._readable(item) for item in document.get("items", [])]
            if not (document.get("pagination") or {}).get("next_page"):
                return found
            page += 1

    def refund(self, armed: Armed) -> Answer:
        self._pace()
        now = self._timer()
        transaction_id = armed.spend(now)
        try:
            with self._client.stream("POST", f"{self._address.base_url}/v1/refunds", json={"transaction_id": transaction_id},
                                     headers=self._headers(), follow_redirects=False, timeout=min(self._refund, armed.until - now)) as response:
                body = b"".join(self._bounded(response))
                return classify(response, body, transaction_id, self.environment.accepts)
        except httpx.HTTPError as error:
            return classify_error(error)

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        until = self._timer() + self._read

        def stop(state: RetryCallState) -> bool:
            return state.attempt_number >= TRIES or self._timer() + state.upcoming_sleep >= until

        def give_up(state: RetryCallState) -> Any:
            assert state.outcome is not None
            raise state.outcome.result()

        retrying = Retrying(retry=retry_if_result(lambda r: isinstance(r, TryLater)), wait=wait_random_exponential(0.5, max=20),
                            stop=stop, sleep=self._sleep, retry_error_callback=give_up)
        return retrying(self._once, path, query, until)

    def _once(self, path: str, query: dict[str, str], until: float) -> Any:
        self._pace()
        try:
            response = self._client.get(f"{self._address.base_url}{path}", params=query, headers=self._headers(),
                                        follow_redirects=False, timeout=max(0.001, until - self._timer()))
            body = response.content
        except httpx.HTTPError as error:
            return TryLater("Creem", f"{type(error).__name__}: {one_line(error)}")
        status = response.status_code
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        log.info("creem.read", path=path, status=status)
        if status == 200 and isinstance(document, dict):
            return document
        envelope = isinstance(document, dict) and ("trace_id" in document)
        if status == 404 and envelope:
            return None
        if 400 <= status < 500 and status not in {404, 408, 425, 429}:
            raise CreemRefused(status, one_line(Exception(str(document))))
        return TryLater("Creem", f"it answered {status}")

    def _readable(self, document: object) -> Transaction:
        try:
            return read_transaction(document)
        except Unreadable as error:
            raise TryLater("Creem", f"it answered what cannot be read: {error}") from error

    def _bounded(self, response: httpx.Response) -> Any:
        read = 0
        for chunk in response.iter_raw():
            yield chunk
            read += len(chunk)
            if read > BODY_LIMIT:
                return

    def _headers(self) -> dict[str, str]:
        return {"x-api-key": self._key, "accept": "application/json", "accept-encoding": "identity"}

    def _pace(self) -> None:
        now = self._timer()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._gap
