"""Processes: schema, intake, the all-in-one worker, the doubles, and the doctor that looks at them all."""

import functools
from typing import Annotated, Any

import typer

from worker.cli import output
from worker.cli.output import AsJson, cell, one_clear_line, out
from worker.errors import Misconfigured
from worker.observe import log
from worker.runtime import Runtime
from worker.settings import Settings

FEWEST_JOBS = 34
"""One for each story that `demo` tells."""
Port = Annotated[int, typer.Option(min=0, max=65535, help="Where to listen on loopback.")]


def db_upgrade(as_json: AsJson = False) -> None:
    """Creates or migrates the schema."""
    from worker.store import schema

    with one_clear_line():
        runtime = Runtime.start(output.settings())
        applied = schema.upgrade(runtime.store)
        head = schema.require_current(runtime.store)
    if as_json:
        return output.document({"applied": applied, "head": head})
    if applied:
        return output.say("Applied {applied}; the schema is at {head}.", applied=", ".join(applied), head=head)
    output.say("Nothing to do; the schema is at {head}.", head=head)


def _configured(settings: Settings) -> Runtime:
    """A runtime whose terms can be read and whose Redis is no Cluster: neither is a reason to wait."""
    runtime = Runtime.start(settings)
    _ = runtime.bench, runtime.redis
    return runtime


def intake() -> None:
    """Takes events from the stream into the inbox: one process of the consumer group."""
    with one_clear_line(process=True):
        settings = output.settings(process=True)
        runtime = _configured(settings)
        from worker import tasks
        from worker.intake.handed import Handed
        from worker.intake.process import run_intake, stop_on_signals, until_ready

        stop = stop_on_signals()
        handed = Handed(tasks.hand_on, most=tasks.ALONE) if settings.hints else None
        if until_ready(lambda: runtime.taking().database, stop):
            run_intake(settings, runtime.redis, runtime.desk, runtime.database, tasks.hint_accepted, stop, handed)


def worker(
    concurrency: Annotated[int | None, typer.Option("--concurrency", "-c", min=1, help="How many task processes.")] = None,
) -> None:
    """Runs intake, tasks and schedule in one, for one machine."""
    with one_clear_line(process=True):
        settings = output.settings(process=True)
        from worker.cli.supervise import supervise
        from worker.intake.process import stop_on_signals, until_ready

        runtime = _configured(settings)
        # what it starts has sessions of its own, which no terminal takes along
        stop = stop_on_signals(hangup=True)
        if until_ready(runtime.deciding, stop):
            raise typer.Exit(supervise(concurrency or settings.concurrency, stop))


def web() -> None:
    """Webhooks of the payment provider, health, and the console, on REFUNDS_WEB_HOST and REFUNDS_WEB_PORT."""
    with one_clear_line(process=True):
        from worker.web.serve import secrets_of, serve, unfit, weak_password

        settings = output.settings(process=True, fit=unfit)
        runtime = _configured(settings)
        from worker import tasks
        from worker.intake.accept import Accepted
        from worker.intake.process import stop_on_signals, until_ready
        from worker.web.site import site_of

        if weak := weak_password(settings):
            log.warning("web.weak_password", why=weak)
        if not secrets_of(settings):
            log.warning("web.takes_no_webhook", why="no REFUNDS_CREEM_WEBHOOK_SECRET: every webhook is turned away with 401")

        def hint(row_ids: list[int]) -> None:
            tasks.hint_accepted([Accepted(row_id, "webhook", None) for row_id in row_ids])

        stop = stop_on_signals()
        if until_ready(runtime.deciding, stop):
            serve(site_of(runtime, hint), settings, stop)


def demo(
    jobs: Annotated[int, typer.Option(min=FEWEST_JOBS, max=5000, help="How many layer jobs.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed, another history.")] = 7,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database and logs afterwards.")] = False,
) -> None:
    """The main job end to end on embedded parts, with a live table, a summary and the audit."""
    from worker.sandbox.demo import run_demo

    with one_clear_line():
        raise typer.Exit(run_demo(jobs=jobs, seed=seed, keep=keep))


def sandbox_pipeline(
    port: Port = 8090,
    seed: Annotated[int, typer.Option(help="Chooses how each job's re-run ends.")] = 7,
) -> None:
    """A pipeline double over HTTP that answers re-runs: some deliver, some fail, some never answer."""
    from worker.sandbox.pipeline import serve

    with one_clear_line(process=True):
        settings = output.settings(process=True)
        _ = Runtime.start(settings).redis
        serve(settings.redis_url, settings.stream, port, seed)


def sandbox_creem(
    port: Port = 8070,
    webhooks: Annotated[str | None, typer.Option(help="Where webhooks go, such as http://127.0.0.1:8080/webhooks/creem.")] = None,
    api_key: Annotated[str, typer.Option(help="The key it takes.")] = "creem_test_double",
    webhook_secret: Annotated[str, typer.Option(help="What it signs webhooks with.")] = "double-secret",  # noqa: S107 - opens nothing
    trouble: Annotated[
        str, typer.Option(help="What goes wrong, such as post_timeout_after_commit, or several with +.")
    ] = "nothing",
    seed: Annotated[int, typer.Option(help="Chooses ids and order.")] = 7,
) -> None:
    """A Creem double over HTTP, stricter and nastier than the real one, with a ledger of its own at /_double/ledger."""
    from worker.sandbox.creem.catalogue import named
    from worker.sandbox.creem.server import serve

    with one_clear_line():
        try:
            switches = named(trouble)
        except (KeyError, ValueError) as error:
            raise Misconfigured(f"--trouble: {error}") from None
        said = functools.partial(output.say, "{line}")
        serve(
            port,
            webhook_url=webhooks,
            api_key=api_key,
            webhook_secret=webhook_secret,
            switches=switches,
            seed=seed,
            say=lambda line: said(line=line),
        )


def doctor(as_json: AsJson = False) -> None:
    """Checks configuration and connections: what is wrong, and which line to change."""
    from worker.cli.doctor.examine import examine

    try:
        settings = output.settings()
    except Misconfigured as error:
        findings: list[dict[str, Any]] = [
            {"check": "configuration", "ok": False, "finding": fault, "severity": "fault"} for fault in error.faults
        ]
    else:
        findings = examine(settings)
    faults = [finding for finding in findings if not finding["ok"] and finding["severity"] == "fault"]
    if as_json:
        output.document({"ok": not faults, "findings": findings})
    else:
        table = output.table("Doctor", "", "check", "finding")
        for finding in findings:
            mark = cell("ok", "green") if finding["ok"] else cell(finding["severity"], "red" if finding in faults else "yellow")
            table.add_row(mark, cell(finding["check"]), cell(finding["finding"]))
        out.print(table)
    if faults:
        raise typer.Exit(2 if any(f["check"] == "configuration" for f in faults) else 1)
