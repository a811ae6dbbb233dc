"""The web process put together: what a runtime has, given to the routes."""

from datetime import timedelta

from starlette.applications import Starlette

from worker.creem.receive import Receiver
from worker.intake.stream import waits_since
from worker.runtime import Runtime, names_in
from worker.web.app import Hint, Web, make_app
from worker.web.console.console import Console
from worker.web.metrics import Figures
from worker.web.serve import meant_for_outside, secrets_of


def site_of(runtime: Runtime, hint: Hint) -> Starlette:
    """Webhooks, health, figures and the console. `hint` is called with the inbox rows that came in. Raises `Misconfigured`."""
    return make_app(_web(runtime, hint), _console(runtime))


def _web(runtime: Runtime, hint: Hint) -> Web:
    settings = runtime.settings
    stream, group = settings.stream, settings.group
    return Web(
        runtime.store,
        runtime.redis,
        Receiver(runtime.store, runtime.clock, runtime.accepts_mode),
        secrets_of(settings),
        runtime.clock,
        hint,
        timedelta(seconds=settings.ready_backlog_seconds),
        figures=Figures(
            runtime.store,
            runtime.redis,
            stream,
            runtime.clock,
            runtime.editions,
            group=group,
            mode=settings.mode,
            environment=runtime.environment.value if runtime.environment else None,
            sent=dict.fromkeys(settings.sent_streams, timedelta(hours=settings.sent_retention_hours)),
            mails=runtime.maildir.waiting if runtime.maildir is not None else None,
            reconciles_every=timedelta(seconds=settings.reconcile_seconds),
        ),
        unread_since=lambda: waits_since(runtime.redis, stream, group),
        group=group,
    )


def _console(runtime: Runtime) -> Console:
    settings = runtime.settings
    password = settings.console_password
    return Console.of(
        store=runtime.store,
        clock=runtime.clock,
        editions=runtime.editions,
        requeuer=runtime.requeuer,
        letters=runtime.letters,
        reviews=runtime.reviewer,
        web_host=settings.web_host,
        fit=runtime.sure_of_the_database,
        console_hosts=names_in(settings.console_hosts),
        password=password.get_secret_value() if password else None,
        flower_url=settings.flower_url,
        opens=not meant_for_outside(settings),
    )
