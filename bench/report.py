"""What a run found: the table on the screen, the results file, the picture."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

from bench.contestants import Contestant
from bench.measure import Drain
from bench.servers import ROOT, Servers
from worker.screen import cell, out, table

RESULTS = ROOT / "bench" / "results.json"
PICTURE = ROOT / "docs" / "pictures" / "bench.png"
PACKAGES = ("celery", "dramatiq", "procrastinate", "dbos", "sqlalchemy", "psycopg", "redis")


@dataclass
class Found:
    """The measurements of one contestant over all rounds."""

    who: Contestant
    drains: list[Drain] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Medians, with the least and the most where rounds differ."""
        rates = [drain.rate for drain in self.drains]
        return {
            "title": self.who.title,
            "events_a_round": self.drains[0].events if self.drains else 0,
            "rate": _middle(rates),
            "rate_least": min(rates, default=None),
            "rate_most": max(rates, default=None),
            "rate_until_announced": _middle([drain.announced_rate for drain in self.drains]),
            "cpu_s_per_1000": _middle([drain.cpu_per_1000 for drain in self.drains]),
            "postgres_cpu_s_per_1000": _middle([drain.postgres_cpu_per_1000 for drain in self.drains]),
            "pss_mib": _middle([drain.memory["pss"] for drain in self.drains]),
            "rss_mib": _middle([drain.memory["rss"] for drain in self.drains]),
            "pss_growth_mib": _middle([drain.memory["pss"] - drain.memory_before["pss"] for drain in self.drains]),
            "latency_p50_ms": percentile(self.latencies, 50),
            "latency_p99_ms": percentile(self.latencies, 99),
            "latency_events": len(self.latencies),
            "rounds": [asdict(drain) for drain in self.drains],
        }


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value that `percent` of 100 do not exceed."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else None


def _middle(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def machine(at: Servers) -> dict[str, Any]:
    """What it was measured on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    system = next(
        (line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")),
        platform.system(),
    )
    with at.place("postgres").connect() as db, redis.Redis.from_url(at.redis.url) as client:
        postgres = db.info.parameter_status("server_version")
        info: Any = client.info("server")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_mib": memory,
        "load_before": os.getloadavg()[0],
        "system": system,
        "python": platform.python_version(),
        "postgres": f"{postgres}, fsync on",
        "redis": f"{info['redis_version']}, appendonly",
        "versions": {name: version(name) for name in PACKAGES if _installed(name)},
    }


def ratios(found: Mapping[str, Found]) -> dict[str, float]:
    """What the targets speak of, of this run."""
    figures = {name: one.figures() for name, one in found.items()}
    wanted = {
        "drain_over_plain_celery": ("ours", "celery", "rate"),
        "drain_over_hand_loop": ("ours", "loop", "rate"),
        "latency_p50_over_plain_celery": ("ours", "celery", "latency_p50_ms"),
        "drain_with_old_cases_over_empty": ("ours-old", "ours", "rate"),
    }
    return {
        name: figures[one][key] / figures[other][key]
        for name, (one, other, key) in wanted.items()
        if one in figures and other in figures and figures[one][key] and figures[other][key]
    }


def show(found: Mapping[str, Found], crowds: Mapping[str, Sequence[float]], facts: Mapping[str, Any]) -> None:
    """The table at the end."""
    columns = ("events/s", "spread", "÷ Celery", "CPU s/1,000", "Postgres", "PSS MiB", "p50 ms", "p99 ms")
    made = table("The same work", "contestant", *columns, caption=caption(facts))
    for column in made.columns[1:]:
        column.justify = "right"
    celery = found["celery"].figures()["rate"] if "celery" in found else None
    for one in found.values():
        f = one.figures()
        spread = f"{f['rate_least']:,.0f}-{f['rate_most']:,.0f}" if f["rate"] else None
        times = f"{f['rate'] / celery:.1f}" if celery and f["rate"] else None
        shown = (
            _n(f["rate"], 0),
            spread,
            times,
            _n(f["cpu_s_per_1000"], 2),
            _n(f["postgres_cpu_s_per_1000"], 2),
            _n(f["pss_mib"], 0),
        )
        latency = (_n(f["latency_p50_ms"], 1), _n(f["latency_p99_ms"], 1))
        made.add_row(*[cell(value) for value in (f["title"], *shown, *latency)])
    out.print(made)
    for name, took in crowds.items():
        p50, p99 = percentile(took, 50), percentile(took, 99)
        out.print(f"others beside {name}: p50 {_n(p50, 1)} ms, p99 {_n(p99, 1)} ms over {len(took)} events", highlight=False)
    for name, value in ratios(found).items():
        out.print(f"{name.replace('_', ' ')}: {value:.2f}")


def _n(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def caption(facts: Mapping[str, Any]) -> str:
    """The machine in a line."""
    software = f"{facts['system']}, Python {facts['python']}, Postgres {facts['postgres']}, Redis {facts['redis']}"
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_mib'] / 1024:.0f} GiB; {software}; {facts['at'][:10]}"


def write(
    found: Mapping[str, Found], crowds: Mapping[str, Sequence[float]], facts: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """The results of the last run, for whoever reads figures from a file."""
    beside = {name: {"events": len(t), "p50_ms": percentile(t, 50), "p99_ms": percentile(t, 99)} for name, t in crowds.items()}
    contestants = {name: one.figures() for name, one in found.items()}
    document = {"machine": facts, "asked": asked, "ratios": ratios(found), "contestants": contestants, "beside_a_backlog": beside}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def draw(results: Path = RESULTS, picture: Path = PICTURE) -> None:
    """The picture, from the results file: the rate of each as a point on a log scale, with the spread over the rounds as a line.

    Its ground is opaque, so that it reads the same on a light page and on a dark one.
    """
    document = json.loads(results.read_text())
    rows = sorted(((name, f) for name, f in document["contestants"].items() if f["rate"]), key=lambda row: row[1]["rate"])
    titles = {"ours-old": f"refunds worker, with\n{document['asked']['old']:,} old cases"}
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    plot: Any = import_module("matplotlib.pyplot")
    figure, axes = plot.subplots(figsize=(9, 1.6 + 0.5 * len(rows)), dpi=110, facecolor="#fafbfc")
    axes.set_facecolor("#fafbfc")
    for place, (name, f) in enumerate(rows):
        colour = "#1f6fb2" if name.startswith("ours") else "#6a737d"
        spread = ([f["rate"] - f["rate_least"]], [f["rate_most"] - f["rate"]])
        axes.errorbar(f["rate"], place, xerr=spread, fmt="o", color=colour, markersize=5, capsize=6, elinewidth=1.2)
        axes.text(f["rate_most"] * 1.13, place, f"{f['rate']:,.0f}", va="center", fontsize=10, color=colour)
    axes.set_yticks(range(len(rows)), [titles.get(name, f["title"]) for name, f in rows])
    axes.set_xscale("log")
    axes.set_xlim(rows[0][1]["rate_least"] / 1.8, rows[-1][1]["rate_most"] * 2)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("failed jobs made whole per second (log scale; point: median, line: least and most of the rounds)")
    axes.grid(axis="x", color="#dfe3e8")
    axes.grid(axis="y", color="#eceff2")
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    facts = caption(document["machine"]).split("; ")
    old = "old cases: closed long before, in the tables that the same work is done in"
    figure.text(0.01, 0.012, f"{old}\n{facts[0]}\n{'; '.join(facts[1:])}", fontsize=7.5, color="#555555")
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture)
    plot.close(figure)


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ImportError:
        return False
