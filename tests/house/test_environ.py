"""What the environment of a process says reaches its settings by one door."""

import os

import pytest

from worker.runtime import unfit
from worker.settings import PREFIX, Settings, load_settings


def test_what_is_empty_or_unknown_in_the_environment_of_the_process_reaches_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name in Settings.model_fields:
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", "")
    monkeypatch.setenv("refunds_mode", "observe")
    assert load_settings(fit=unfit) == load_settings({})
    assert (load_settings().mail_dir, load_settings().journal_dir, load_settings().creem_api_key) == (None, None, None)
