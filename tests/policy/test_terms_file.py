"""What is wrong with a terms file is said all at once: file, key, what is there, what was expected."""

import pickle
from pathlib import Path

import pytest

from policy import TermsError, load_editions, load_terms
from tests.policy.build import SHIPPED, TERMS

TEXT = SHIPPED.read_text()
CODES = "expected a list of failure codes in quotes, each of 1 to 64 characters without blanks around it"


def written(folder: Path, text: str, name: str = "2025-12-03.toml") -> Path:
    """A terms file with this text."""
    path = folder / name
    path.write_text(text)
    return path


def faults_of(path: Path) -> list[str]:
    """The faults of a file, without its name."""
    with pytest.raises(TermsError) as raised:
        load_terms(path)
    lines = str(raised.value).splitlines()
    assert lines == list(raised.value.faults)
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


# what is put in the place of what, and the faults that makes
EDITS: list[tuple[str, str, list[str]]] = [
    ("promise_business_days = 3", "", ["promise_business_days: missing; expected a whole number from 1 to 366"]),
    (
        "pass_jobs_min",
        "pass_job_min",
        [
            "pass_job_min: no such key; expected 'pass_jobs_min'",
            "pass_jobs_min: missing; expected a whole number from 1 to 1000000",
        ],
    ),
    (
        "pass_jobs_min = 2",
        "pass_jobs_min = true",
        ["pass_jobs_min: True is there; expected a whole number from 1 to 1000000"],
    ),
    (
        "pass_jobs_min = 2",
        "pass_jobs_min = 2.0",
        ["pass_jobs_min: 2.0 is there; expected a whole number from 1 to 1000000"],
    ),
    (
        "rerun_deadline_minutes = 60",
        "rerun_deadline_minutes = 0",
        ["rerun_deadline_minutes: 0 is there; expected a number over 0 and at most 527040"],
    ),
    (
        "rerun_deadline_minutes = 60",
        "rerun_deadline_minutes = nan",
        ["rerun_deadline_minutes: nan is there; expected a number over 0 and at most 527040"],
    ),
    (
        "wait_for_facts_hours = 72",
        "wait_for_facts_hours = inf",
        ["wait_for_facts_hours: inf is there; expected a number over 0 and at most 8784"],
    ),
    (
        "wait_for_facts_hours = 72",
        "wait_for_facts_hours = true",
        ["wait_for_facts_hours: True is there; expected a number over 0 and at most 8784"],
    ),
    (
        "# automatic_window_days = 7",
        "automatic_window_days = -1",
        ["automatic_window_days: -1 is there; expected a whole number from 0 to 3660"],
    ),
    ("Etc/GMT+12", "Europe/Berlim", ["zone: 'Europe/Berlim' is no time zone; expected 'Europe/Berlin'"]),
    (
        "Etc/GMT+12",
        "?",
        ["zone: '?' is no time zone; expected a name of the tz database like 'Etc/GMT+12'"],
    ),
    (
        '"Etc/GMT+12"',
        "12",
        ["zone: 12 is there; expected the name of a time zone in quotes, like 'Etc/GMT+12'"],
    ),
    (
        '"US"\n',
        '"usa"\n',
        ["holiday_calendar: 'usa' is there; expected a country code in quotes, like 'US', or a part of a country, like 'US-CA'"],
    ),
    (
        'edition = "2025-12-03"',
        'edition = "2025-12-04"',
        ["edition: '2025-12-04' is not the file's name; expected '2025-12-03', or a file named 2025-12-04.toml"],
    ),
    (
        'edition = "2025-12-03"',
        'edition = "2025-02-30"',
        ["edition: '2025-02-30' is there; expected the date of the policy page in quotes, like '2025-12-03'"],
    ),
    (
        'edition = "2025-12-03"',
        'edition = "20251203"',
        ["edition: '20251203' is there; expected the date of the policy page in quotes, like '2025-12-03'"],
    ),
    (
        'safety = ["content_rejected"]',
        'safety = ["content_rejected", "model_error"]',
        ["faults.safety: 'model_error' is already listed under server; expected one class for each code"],
    ),
    (
        'safety = ["content_rejected"]',
        'safety = "content_rejected"',
        [f"faults.safety: 'content_rejected' is there; {CODES}"],
    ),
    (
        'safety = ["content_rejected"]',
        'safety = [""]',
        [f"faults.safety: [''] is there; {CODES}"],
    ),
    (
        'safety = ["content_rejected"]',
        'safety = ["content_rejected", "content rejected "]',
        [f"faults.safety: ['content_rejected', 'content rejected '] is there; {CODES}"],
    ),
    (
        'safety = ["content_rejected"]',
        r'safety = ["content\u001brejected"]',
        [rf"faults.safety: ['content\x1brejected'] is there; {CODES}"],
    ),
    (
        'safety = ["content_rejected"]',
        f'safety = ["{65 * "c"}"]',
        [f"faults.safety: ['{65 * 'c'}'] is there; {CODES}"],
    ),
    (
        'safety = ["content_rejected"]',
        'safty = ["content_rejected"]',
        [
            "faults.safty: no such key; expected 'safety'",
            f"faults.safety: missing; {CODES}",
        ],
    ),
    (
        'safety = ["content_rejected"]',
        'safety = ["content_rejected"]\nunknown = ["gremlins"]',
        ["faults.unknown: no such key; expected one of server, capacity, timeout, output, input, safety, cancelled"],
    ),
    (
        "rerunnable_codes = [",
        "rerunnable_codes = [7, ",
        [
            "rerunnable_codes: [7, 'gpu_out_of_memory', 'queue_timeout', 'capacity_exceeded', 'job_timeout', 'stage_timeout', "
            "'missing_layers', 'corrupted_output', 'corrupted_download', 'worker_crashed', 'storage_error', "
            f"'upstream_unavailable'] is there; {CODES}"
        ],
    ),
    (
        '"job_timeout", "stage_timeout",\n',
        '"job_timeut", "stage_timeout",\n',
        ["rerunnable_codes: 'job_timeut' is no code of a fault of the system; expected 'job_timeout'"],
    ),
    (
        '"job_timeout", "stage_timeout",\n',
        '"job_timeout", "stage_timeout", "content_rejected",\n',
        [
            "rerunnable_codes: 'content_rejected' is no code of a fault of the system; "
            "expected a code of class server, capacity, timeout or output"
        ],
    ),
    (
        "# automatic_window_days = 7\n",
        'content_codes = ["bad_outputs"]\n',
        ["content_codes: 'bad_outputs' is no code of a fault of the system; expected 'bad_output'"],
    ),
    (
        "# automatic_window_days = 7\n",
        'waiting_stages = "queued"\n',
        ["waiting_stages: 'queued' is there; expected a list of stages of the pipeline in quotes"],
    ),
]


@pytest.mark.parametrize(("there", "instead", "faults"), EDITS, ids=[instead or there for there, instead, _ in EDITS])
def test_load_terms_says_what_would_be_right(tmp_path: Path, there: str, instead: str, faults: list[str]) -> None:
    assert TEXT.count(there) == 1
    assert faults_of(written(tmp_path, TEXT.replace(there, instead))) == faults


@pytest.mark.parametrize("percents", ["[]", "[0]", "[100]", "[80, 50]", "[50, 50]", "[50.0]", "50", '["50"]'])
def test_load_terms_refuses_warnings_out_of_order(tmp_path: Path, percents: str) -> None:
    (fault,) = faults_of(written(tmp_path, TEXT.replace("[50, 80]", percents)))
    assert fault.startswith("promise_warn_percent: ")
    assert "from 1 to 99 in rising order, like [50, 80]" in fault


def test_load_terms_reports_every_fault_at_once(tmp_path: Path) -> None:
    text = TEXT
    for there, instead, _ in EDITS[:2] + EDITS[4:5] + EDITS[9:10] + EDITS[25:26]:
        text = text.replace(there, instead)
    keys = [fault.split(":")[0] for fault in faults_of(written(tmp_path, text))]
    assert keys == [
        "pass_job_min",
        "promise_business_days",
        "rerun_deadline_minutes",
        "pass_jobs_min",
        "zone",
        "rerunnable_codes",
    ]


def test_load_terms_of_an_empty_file_names_every_key(tmp_path: Path) -> None:
    faults = faults_of(written(tmp_path, ""))
    assert [fault.split(":")[0] for fault in faults] == [
        name
        for name in TERMS.__slots__
        if name not in {"digest", "automatic_window_days", "content_codes", "waiting_stages", "faults", "rerunnable_codes"}
        and not (name.startswith("activation_") or (name.endswith("_per_day") and name.startswith("approval_")))
    ] + ["rerunnable_codes", "faults"]


def test_load_terms_names_the_line_that_is_not_toml(tmp_path: Path) -> None:
    (fault,) = faults_of(written(tmp_path, 'edition = "2025-12-03"\nzone = Etc\n'))
    assert fault == "not TOML: Invalid value (at line 2, column 8); expected a TOML document"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 3000, "not TOML: "),
        ("x = " + "9" * 5000, "not TOML: "),
        ("pass_jobs_min = 0x" + "f" * 5000, "pass_jobs_min: a value too large to show is there"),
        ("zone = '" + "x" * 5000 + "'\npass_jobs_min = '" + "y" * 5000 + "'", "pass_jobs_min: 'yyy"),
        ('"\\u001b[31m" = 1', "\\x1b[31m: no such key"),
    ],
)
def test_load_terms_says_what_is_wrong_with_a_hostile_file(text: str, said: str, tmp_path: Path) -> None:
    faults = faults_of(written(tmp_path, text))
    assert any(fault.startswith(said) for fault in faults)
    assert all(fault.isprintable() for fault in faults)
    assert not any("y" * 1001 in fault for fault in faults)


def test_load_terms_names_the_line_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "2025-12-03.toml"
    path.write_bytes(b'edition = "2025-12-03"\nzone = "\xff"\n')
    assert faults_of(path) == ["not UTF-8 text (at line 2); expected a TOML document"]


def test_load_terms_without_a_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_terms(tmp_path / "2025-12-03.toml")


def test_load_terms_takes_fractions_and_what_is_optional(tmp_path: Path) -> None:
    text = TEXT.replace("rerun_deadline_minutes = 60", "rerun_deadline_minutes = 0.05")
    found = load_terms(written(tmp_path, text.replace("# automatic_window_days", "automatic_window_days")))
    assert (found.rerun_deadline_minutes, found.automatic_window_days) == (0.05, 7)


def test_terms_error_survives_pickling(tmp_path: Path) -> None:
    with pytest.raises(TermsError) as raised:
        load_terms(written(tmp_path, ""))
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (str(copy), copy.faults) == (str(raised.value), raised.value.faults)


def test_load_editions_sorts_by_date_and_reads_only_toml(tmp_path: Path) -> None:
    written(tmp_path, TEXT.replace("2025-12-03", "2026-06-01"), "2026-06-01.toml")
    written(tmp_path, TEXT)
    written(tmp_path, "notes", "README")
    assert [terms.edition for terms in load_editions(tmp_path)] == ["2025-12-03", "2026-06-01"]


def test_load_editions_reports_the_faults_of_every_file(tmp_path: Path) -> None:
    written(tmp_path, TEXT.replace("pass_jobs_min = 2", "pass_jobs_min = 0"))
    written(tmp_path, TEXT, "2026-06-01.toml")
    with pytest.raises(TermsError) as raised:
        load_editions(tmp_path)
    assert [Path(fault.split(":")[0]).name for fault in raised.value.faults] == ["2025-12-03.toml", "2026-06-01.toml"]


def test_load_editions_wants_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(TermsError, match=r"no terms here; expected at least one file like 2025-12-03\.toml"):
        load_editions(tmp_path)


def test_day_of_money_is_not_less_than_its_hour(tmp_path: Path) -> None:
    text = TEXT.replace("money_per_day_minor_units = 1000000", "money_per_day_minor_units = 5")
    assert faults_of(written(tmp_path, text)) == [
        "money_per_day_minor_units: 5 is less than the 200000 of one hour; expected at least 200000"
    ]
