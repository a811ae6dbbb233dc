"""Alerts and dashboard name figures that are exported, runbook sections that exist, and commands that there are."""

import json
import re
from pathlib import Path

import fakeredis
import pytest
import typer
import yaml

from policy import load_editions
from tests.cases.world import HandClock
from tests.deploy.promtool import NEEDS_PROMTOOL, promtool
from worker.cli.main import app
from worker.settings import DEFAULT_TERMS
from worker.store.engine import Store
from worker.web.metrics import Figures

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/refunds.json"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads(DASHBOARD.read_text())["panels"]
SHOWN = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]
NAME = re.compile(r"refunds_[a-z_]+")


@pytest.fixture
def exported(store: Store) -> set[str]:
    text = Figures(store, fakeredis.FakeRedis(), "layer-jobs:events", HandClock(), load_editions(DEFAULT_TERMS)).text().decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)", text, re.M)
    return {name for name, _ in families} | {f"{name}_bucket" for name, kind in families if kind == "histogram"}


def test_every_figure_in_a_rule_is_exported(exported: set[str]) -> None:
    assert {name for rule in ALERTS for name in NAME.findall(rule["expr"])} - exported == set()


def test_every_figure_on_the_dashboard_is_exported(exported: set[str]) -> None:
    assert SHOWN
    assert {name for expression in SHOWN for name in NAME.findall(expression)} - exported == set()


def test_every_alert_has_its_section_and_says_how_bad_it_is() -> None:
    sections = {heading.lower() for heading in re.findall(r"^## (.+)$", RUNBOOK, re.M)}
    for rule in ALERTS:
        assert rule["annotations"]["runbook"].partition("#")[2] in sections, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["for"]


@pytest.mark.parametrize(("severity", "index"), [("page", "Pages"), ("ticket", "Tickets")])
def test_every_alert_is_in_the_index_of_the_runbook_and_its_section_says_how_bad_and_how_soon(severity: str, index: str) -> None:
    [line] = re.findall(rf"^\*\*{index}:\*\* (.+)$", RUNBOOK, re.M)
    rules = {rule["alert"]: rule for rule in ALERTS if rule["labels"]["severity"] == severity}
    linked = re.findall(r"\[(\w+)\]\(#(\w+)\)", line)
    assert sorted(linked) == sorted((name.removeprefix("Refunds"), name.lower()) for name in rules)
    for name, rule in rules.items():
        assert f"## {name}\n\n*{severity}, after {rule['for']}.* " in RUNBOOK, name


def test_every_alert_is_tested_to_fire_and_to_stay_quiet() -> None:
    tests = yaml.safe_load((RULES.parent / "tests.yml").read_text())["tests"]
    cases = {(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]}
    assert cases == {(rule["alert"], fires) for rule in ALERTS for fires in (True, False)}


def test_every_command_of_the_runbook_exists() -> None:
    named = [line.split() for line in re.findall(r"(?:^|`)(refunds [^`\n]+)", RUNBOOK, re.M)]
    assert named
    for words in named:
        command = typer.main.get_command(app)
        for word in words[1:]:
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, " ".join(words)
            command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, " ".join(words)


@pytest.mark.landing
@NEEDS_PROMTOOL
def test_promtool_fires_every_alert_and_keeps_it_quiet() -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("test", "rules", "tests.yml")):
        promtool(RULES.parent, *arguments)


@NEEDS_PROMTOOL
def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(SHOWN)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(SHOWN)} rules found" in promtool(tmp_path, "check", "rules", "panels.yml")


@NEEDS_PROMTOOL
def test_panels_that_divide_find_both_sides_under_the_labels_of_a_scrape(tmp_path: Path) -> None:
    divided = [expression for expression in SHOWN if " / " in expression]
    assert divided
    labels = 'job="refunds", instance="web-1"'
    shown = {
        selector for expression in divided for selector in re.findall(r"(refunds_[a-z_]+)(?:\{[a-z]+=~?\"([a-z_]+))?", expression)
    }
    series = [
        {"series": f'{name}{{{labels}, {"status" if "jobs" in name else "state"}="{value or "refunded"}"}}', "values": "1+1x300"}
        for name, value in sorted(shown)
    ]
    asked = [
        {"expr": f"count({expression}) > bool 0", "eval_time": "300m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for expression in divided
    ]
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}]})
    )
    promtool(tmp_path, "test", "rules", "test.yml")
