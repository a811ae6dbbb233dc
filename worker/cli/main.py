"""The commands, in the groups that people look for them in."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import takewhile
from typing import Annotated

import typer

from worker.cli import (
    activate,
    audit,
    cases,
    compare,
    dead,
    drain,
    feed,
    money,
    move,
    operators,
    output,
    policy,
    processes,
    replay,
    requests,
    requeue,
    restore,
    review,
    status,
)
from worker.cli.streams import Streams
from worker.observe import log
from worker.settings import is_utf8

app = typer.Typer(
    name="refunds",
    help="Keeps the refund promise of Image to Layers: every failed job made whole, once, with the reason on record.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"refunds {version('layer-refunds')}")
        raise typer.Exit


@app.callback()
def _before_any(
    _: Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Which release this is.")] = False,
) -> None:
    pass


db = typer.Typer(help="The database: its schema, and another one for the book.", no_args_is_help=True)
db.command("upgrade")(processes.db_upgrade)
db.command("move")(move.run)
app.add_typer(db, name="db", rich_help_panel="Set up")
app.command("doctor", rich_help_panel="Set up")(processes.doctor)

app.command("worker", rich_help_panel="Run")(processes.worker)
app.command("intake", rich_help_panel="Run")(processes.intake)
app.command("web", rich_help_panel="Run")(processes.web)
app.command("drain", rich_help_panel="Run")(drain.drain)
app.command("demo", rich_help_panel="Run")(processes.demo)
sandbox = typer.Typer(help="Doubles to develop against.", no_args_is_help=True)
sandbox.command("pipeline")(processes.sandbox_pipeline)
sandbox.command("creem")(processes.sandbox_creem)
app.add_typer(sandbox, name="sandbox", rich_help_panel="Run")

app.command("import", rich_help_panel="Feed")(feed.import_history)
app.command("emit", rich_help_panel="Feed")(feed.emit)

app.command("status", rich_help_panel="Look")(status.run)
app.command("cases", rich_help_panel="Look")(cases.listing)
app.command("show", rich_help_panel="Look")(cases.show)
app.command("why", rich_help_panel="Look")(cases.why)
app.command("account", rich_help_panel="Look")(cases.account)
app.command("audit", rich_help_panel="Look")(audit.run)
app.command("reconcile", rich_help_panel="Look")(money.reconcile)
app.command("compare", rich_help_panel="Look")(compare.run)

app.command("requeue", rich_help_panel="Act")(requeue.run)
purse = typer.Typer(help="Money sent back through Creem: stop it, or let it go on.", no_args_is_help=True)
purse.command("stop")(money.stop)
purse.command("release")(money.release)
app.add_typer(purse, name="money", rich_help_panel="Act")
back = typer.Typer(
    help="After the database was set back to a backup: see what is missing, put it back, let money go on.", no_args_is_help=True
)
back.command("check")(restore.check)
back.command("recover")(restore.recover)
back.command("lift")(restore.lift)
back.command("chain")(restore.chain)
back.command("reopen")(restore.reopen)
app.add_typer(back, name="restore", rich_help_panel="Act")
queue = typer.Typer(help="The human queue, in the order received.", no_args_is_help=True)
queue.command("list")(review.listing)
queue.command("show")(review.show)
queue.command("take")(review.take)
queue.command("approve")(review.approve)
queue.command("decline")(review.decline)
queue.command("withdraw")(review.withdraw)
queue.command("name")(review.name)
app.add_typer(queue, name="review", rich_help_panel="Act")
mails = typer.Typer(help="Requests by mail, and the files that came with them.", no_args_is_help=True)
mails.command("add")(requests.add)
mails.command("file")(requests.evidence)
app.add_typer(mails, name="request", rich_help_panel="Feed")
letters = typer.Typer(help="What could not be read or handled.", no_args_is_help=True)
letters.command("list")(dead.listing)
letters.command("show")(dead.show)
letters.command("requeue")(dead.requeue)
letters.command("discard")(dead.discard)
app.add_typer(letters, name="dead", rich_help_panel="Act")

people = typer.Typer(help="Who may sign in to the console.", no_args_is_help=True)
people.command("add")(operators.add)
people.command("list")(operators.listing)
people.command("disable")(operators.disable)
app.add_typer(people, name="operator", rich_help_panel="Set up")

terms = typer.Typer(help="The terms that the policy applies.", no_args_is_help=True)
terms.command("show")(policy.show)
terms.command("check")(policy.check)
terms.command("replay")(replay.run)
terms.command("activate")(activate.run)
app.add_typer(terms, name="policy", rich_help_panel="Look")


def run() -> None:
    """Entry point: exit 0 done, 1 refused or found wrong, 2 usage or configuration; an interrupt is 130 and no traceback.

    What nobody raises on purpose is a line as well. A reader that went away changes nothing of that. Output that could not be
    written is said, and no success.
    """
    streams = Streams()
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except UnicodeEncodeError:
        # names of files may be any bytes; nothing else can be looked up or written down
        wrong = next((number for number, word in enumerate(sys.argv) if not is_utf8(word)), None)
        if wrong is None:
            raise
        raise _ended(streams, f"argument {wrong} is not UTF-8: {os.fsencode(sys.argv[wrong])!r}", 2) from None
    except Exception as error:
        log.debug("command.failed", exc_info=True)
        raise _ended(streams, output.unexpected(error), 1) from None
    except SystemExit as ended:
        if told := _told(ended.__context__):
            _answer(streams, told, int(ended.code or 0))
        why = streams.end()
        if why is None:
            raise
        output.say_wrong(f"the output could not be written: {why}")
        raise SystemExit(ended.code or 1) from None


def _ended(streams: Streams, said: str, code: int) -> SystemExit:
    output.say_wrong(said)
    _answer(streams, [said], code)
    return SystemExit(code)


def _told(why: BaseException | None) -> Sequence[str]:
    """What was said of the end of a command that was refused; nothing where it answered."""
    if isinstance(why, output.Stopped):
        return why.told
    return [why.format_message()] if isinstance(why, typer.TyperException) else []


def _answer(streams: Streams, told: Sequence[str], code: int) -> None:
    """Whoever asked for a document has one, also of what was not done; unless the command gave one that says so."""
    if "--json" in takewhile(lambda word: word != "--", sys.argv[1:]) and streams.silent:
        output.not_done(told, code)
