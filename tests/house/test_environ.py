"""What the environment of a process says reaches its settings by one door."""

import os

import pytest

from worker.errors import Misconfigured
from worker.runtime import unfit
from worker.settings import PREFIX, Settings, load_settings

NAMES = ["STREAM", "COMMANDS_STREAM", "OUTCOMES_STREAM", "ACTOR"]
FOLDERS = ["MAIL_DIR", "EVIDENCE_DIR", "JOURNAL_DIR", "TERMS_DIR"]


def test_what_is_empty_or_unknown_in_the_environment_of_the_process_reaches_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name in Settings.model_fields:
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", "")
    monkeypatch.setenv("refunds_mode", "observe")
    assert load_settings(fit=unfit) == load_settings({})
    assert (load_settings().mail_dir, load_settings().journal_dir, load_settings().creem_api_key) == (None, None, None)


@pytest.mark.parametrize("name", NAMES + FOLDERS)
@pytest.mark.parametrize("value", ["   ", " x", "x\t", "x\n", "\u3000x"])
def test_blanks_around_a_name_or_folder_are_refused_and_not_taken_for_part_of_it(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^REFUNDS_{name}: expected nothing blank around it$"):
        load_settings({f"REFUNDS_{name}": value}, fit=unfit)
    load_settings({f"REFUNDS_{name}": "x y"}, fit=unfit)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["\ufeffx", "x\u200by", "x\ny", "x\x1by"])
def test_name_with_what_nobody_sees_is_refused(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^REFUNDS_{name}: expected nothing in it that cannot be seen$"):
        load_settings({f"REFUNDS_{name}": value})
    load_settings({f"REFUNDS_{name}": "größe"})
