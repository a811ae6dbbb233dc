"""Key, host and mode agree, or nothing starts (failure-modes.md, TM18)."""

import pytest

from tests.creem.world import KEY, TEST
from worker.creem.client import CreemHttp
from worker.creem.environment import LIVE_URL, Address, Environment, address_of
from worker.errors import Misconfigured
from worker.runtime import Runtime, unfit
from worker.settings import load_settings

LIVE_KEY, OTHER_KEY = "creem_canary4711liveliveliveS3cret", "double-canary-S3cret"
KEYS = {"test": KEY, "live": LIVE_KEY, "other": OTHER_KEY}

# key | base url (-: none) | environment and address, or a word of each fault
TABLE = """
test  | -                             | test https://test-api.creem.io
live  | -                             | live https://api.creem.io
other | -                             | ! begins with creem_test_ or creem_
test  | https://test-api.creem.io     | test https://test-api.creem.io
test  | https://test-api.creem.io/    | test https://test-api.creem.io
test  | https://TEST-API.Creem.io:443 | test https://test-api.creem.io
test  | https://creem.double.example  | test https://creem.double.example
test  | https://creem.double.example:8443 | test https://creem.double.example:8443
test  | http://127.0.0.1:8080         | test http://127.0.0.1:8080
test  | http://127.9.9.9              | test http://127.9.9.9
test  | http://localhost:8080/        | test http://localhost:8080
test  | http://[::1]:8080             | test http://[::1]:8080
test  | https://127.0.0.1:8443        | test https://127.0.0.1:8443
other | http://127.0.0.1:8080         | test http://127.0.0.1:8080
other | https://localhost             | test https://localhost
live  | https://api.creem.io          | live https://api.creem.io
live  | https://API.creem.io:443/     | live https://api.creem.io
test  | https://api.creem.io          | ! the live host
test  | https://API.CREEM.IO          | ! the live host
test  | https://api.creem.io:8443     | ! the live host
test  | http://api.creem.io           | ! https only ! the live host
test  | https://api.creem.io.         | ! expected an address
other | https://api.creem.io          | ! the live host
other | https://test-api.creem.io     | ! begins with creem_test_ or creem_
other | http://creem.double.example   | ! https only ! begins with creem_test_ or creem_
live  | https://test-api.creem.io     | ! a live key belongs to https://api.creem.io
live  | https://api.creem.io:8443     | ! a live key belongs to https://api.creem.io
live  | http://api.creem.io           | ! https only ! a live key belongs to https://api.creem.io
live  | http://127.0.0.1:8080         | ! a live key belongs to https://api.creem.io
live  | https://api.creem.io.evil.example | ! a live key belongs to https://api.creem.io
live  | https://evil.example          | ! a live key belongs to https://api.creem.io
test  | http://test-api.creem.io      | ! https only
test  | http://0.0.0.0:8080           | ! https only
test  | http://127.0.0.1.evil.example | ! https only
test  | https://test-api.creem.io/v1  | ! expected an address
test  | https://test-api.creem.io/?a=b | ! expected an address
test  | https://test-api.creem.io?    | ! expected an address
test  | https://test-api.creem.io/#a  | ! expected an address
test  | https://test-api.creem.io#    | ! expected an address
test  | https://u:S3cret@test-api.creem.io | ! expected an address
test  | https://api.creem.io@evil.example | ! expected an address
test  | ftp://test-api.creem.io       | ! expected an address
test  | https://                      | ! expected an address
test  | https://h:0                   | ! expected an address
test  | https://h:99999               | ! expected an address
test  | https://[::1                  | ! expected an address
test  | creem                         | ! expected an address
"""


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_key_and_host_agree_or_nothing_starts(row: str) -> None:
    which, url, wanted = (part.strip() for part in row.split("|"))
    base_url = None if url == "-" else url
    if not wanted.startswith("!"):
        environment, address = wanted.split()
        assert address_of(KEYS[which], base_url) == Address(address, Environment(environment))
        return
    with pytest.raises(Misconfigured) as raised:
        address_of(KEYS[which], base_url)
    words = [word.strip() for word in wanted.removeprefix("!").split("!")]
    assert len(raised.value.faults) == len(words)
    for fault, word in zip(raised.value.faults, words, strict=True):
        assert word in fault
        assert fault.startswith(("REFUNDS_CREEM_API_KEY: ", "REFUNDS_CREEM_BASE_URL: "))
        assert "\n" not in fault
    assert "S3cret" not in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("url", [f"https://{'a' * 70}.example", "https://ho\x00st", "https://ho st", "https://\ud800", ""])
def test_address_that_no_socket_could_use_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Misconfigured, match="expected an address"):
        address_of(KEY, url)


@pytest.mark.parametrize("key", ["", "creem_test_canary\n", " creem_test_canary", "creem_test_a b", "creem_test_ü", "creem_\x00"])
def test_key_that_no_header_could_hold_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(Misconfigured, match="one word of plain characters") as raised:
        address_of(key, "http://127.0.0.1:1")
    assert "canary" not in str(raised.value)


def test_client_does_not_start_with_another_addresss_key() -> None:
    for address, key in (
        (TEST, LIVE_KEY),
        (Address(LIVE_URL, Environment.LIVE), KEY),
        (Address("http://127.0.0.1:1", Environment.LIVE), KEY),
        (Address("https://test-api.creem.io", Environment.LIVE), KEY),
    ):
        with pytest.raises(Misconfigured) as raised:
            CreemHttp(address, key)
        assert "canary" not in str(raised.value)
    assert CreemHttp(TEST, KEY).environment is Environment.TEST


@pytest.mark.parametrize("mode", ["test", "sandbox", "local", "prod", "live", "TEST", "production", "", "anything"])
def test_modes_belong_to_one_environment_or_to_none(mode: str) -> None:
    belongs = [environment.value for environment in Environment if environment.accepts(mode)]
    assert belongs == {"test": ["test"], "sandbox": ["test"], "local": ["test"], "prod": ["live"], "live": ["live"]}.get(mode, [])


@pytest.mark.parametrize("name", ["test", "live"])
def test_without_a_key_the_settings_say_whose_money_another_process_pays(name: str) -> None:
    runtime = Runtime.start(load_settings({"REFUNDS_CREEM_ENVIRONMENT": name}, unfit))
    assert (runtime.environment, runtime.creem, runtime.payer) == (Environment(name), None, None)
    assert runtime.settler.environment is runtime.environment


def test_without_key_and_environment_there_is_no_money() -> None:
    """An address alone changes nothing: without a key the worker runs credits-only (contract.md, "Configuration")."""
    assert Runtime.start(load_settings({"REFUNDS_CREEM_BASE_URL": TEST.base_url}, unfit)).settler.environment is None


def test_environment_that_the_key_is_not_for_is_refused() -> None:
    with pytest.raises(Misconfigured, match="REFUNDS_CREEM_ENVIRONMENT: live, and REFUNDS_CREEM_API_KEY is for test"):
        load_settings({"REFUNDS_CREEM_ENVIRONMENT": "live", "REFUNDS_CREEM_API_KEY": KEY}, unfit)
