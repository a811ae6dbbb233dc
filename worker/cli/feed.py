"""What goes in by hand: product history, and events on the stream."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import redis
import typer

from policy.words import count
from worker.cases.assess.imports import Imported
from worker.cases.money import claims
from worker.cli import output
from worker.cli.consent import ask
from worker.cli.history import Faulty, History, history, numbered, readable
from worker.cli.output import AsJson, one_clear_line
from worker.errors import TryLater, one_line
from worker.intake.wire import read_event
from worker.runtime import Runtime
from worker.screen import progress
from worker.strict import Malformed, shown

SHOWN = 20
AT_ONCE = 500
"""Lines in one answer of Redis."""
File = Annotated[str, typer.Argument(metavar="FILE.jsonl", help="One JSON document per line; - is standard input.")]


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    if name == "-":
        yield from numbered(sys.stdin.buffer)
        return
    with readable(name), Path(name).open("rb") as file:
        yield from numbered(file)


def import_history(file: File, as_json: AsJson = False) -> None:
    """Imports product history: accounts, purchases, layer jobs. Idempotent; a file with a faulty line changes nothing."""
    with one_clear_line():
        runtime = output.judging()
        _warn_of_money_left_out(runtime)
        with history(file) as records:
            try:
                done = _take(runtime, records)
            except Faulty as faulty:
                _refuse(file, faulty.faults, as_json=as_json)
            finally:
                _warn_of_unknown(records.ignored)
    _report(done, as_json=as_json)


def _take(runtime: Runtime, records: History) -> Imported:
    with progress() as bar:
        task = bar.add_task("reading", total=None)
        return runtime.importer.take(
            records, lambda n: bar.update(task, description="importing", total=records.records, advance=n)
        )


def _warn_of_money_left_out(runtime: Runtime) -> None:
    """On stderr, where other processes of this installation refund charges and this one would leave them to a person."""
    claimed = runtime.store.read(claims.environments) if runtime.environment is None else []
    if claimed:
        whose = " and ".join(claimed)
        why = f"money ({whose}) is refunded here, and this command has no REFUNDS_CREEM_ENVIRONMENT and no key"
        output.say_wrong(f"{why}: charges that it finds paid twice go to a person; set it")


def _sent(number: int) -> str:
    return f"{count(number, 'line')} went out for certain; to send all of them again is harmless"


def _refuse(file: str, faults: list[str], *, as_json: bool) -> NoReturn:
    if as_json:
        output.document({"imported": 0, "faults": faults})
    for told in faults[:SHOWN]:
        output.say_wrong(f"{file}, {told}")
    more = f" (and {len(faults) - SHOWN} more)" if len(faults) > SHOWN else ""
    output.stop(f"{file}: {count(len(faults), 'faulty line')}{more}; nothing was imported", 1)


def _warn_of_unknown(ignored: Counter[str]) -> None:
    """On stderr, once for each name: a newer producer's, or one of ours misspelt."""
    for name, number in sorted(ignored.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]:
        output.say_wrong(f"{shown(name)}: not known, ignored in {count(number, 'record')}")
    if len(ignored) > SHOWN:
        output.say_wrong(f"and {len(ignored) - SHOWN} more names that are not known")


def _report(done: Imported, *, as_json: bool) -> None:
    states = Counter(move.state for move in done.assessed.moves)
    if as_json:
        refused = [{"record": key, "problem": problem} for key, problem in done.refused]
        output.document(
            {
                "records": done.records,
                "repeated": done.repeated,
                "cases": states,
                "refused": refused,
                "stay_suspended": done.stay_suspended,
            }
        )
    else:
        counted = ", ".join(count(number, kind.replace("_", " ")) for kind, number in done.records.items())
        not_taken = f"; {len(done.refused)} refused" if done.refused else ""
        said = "Imported {counted}; {repeated} were known already{refused}."
        output.say(said, counted=counted or "nothing", repeated=done.repeated, refused=not_taken)
        if states:
            opened = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
            output.say("Cases in it: {opened}.", opened=opened)
        if done.stay_suspended:
            output.say("[yellow]{said}.[/]", said=_stay_suspended(done.stay_suspended))
    for key, problem in done.refused[:SHOWN]:
        output.say_wrong(f"{key}: {problem}")
    if done.refused:
        output.stop(f"in the dead letters, for they contradict the books: {count(len(done.refused), 'record')}", 1)


def _stay_suspended(accounts: list[str]) -> str:
    if len(accounts) == 1:
        return f"{accounts[0]} stays suspended: two people suspended it here"
    more = ", …" if len(accounts) > SHOWN else ""
    return f"{len(accounts)} accounts stay suspended: two people suspended them here ({', '.join(accounts[:SHOWN])}{more})"


def emit(file: File, yes: output.Yes = False, as_json: AsJson = False) -> None:
    """Puts CloudEvents on the stream, one per line, as they are, and signed where keys are configured.

    Warns now of what intake will not be able to read, and asks first where the file begins with nothing else.
    """
    with one_clear_line():
        runtime = Runtime.start(output.settings())
        sent, unreadable = _send_all(runtime, file, yes=yes or file == "-")
    for bad in unreadable[:SHOWN]:
        output.say_wrong(f"{file}, line {bad['line']}: goes to the dead letters: {bad['detail']}")
    if as_json:
        return output.document({"sent": sent, "stream": runtime.settings.stream, "unreadable": unreadable})
    output.say("{sent} on {stream}.", sent=count(sent, "event"), stream=runtime.settings.stream)


def _send_all(runtime: Runtime, file: str, *, yes: bool) -> tuple[int, list[dict[str, object]]]:
    """How many lines went out, and those of them that intake will not be able to read. Raises `TryLater`."""
    stream, producers, clock, client = runtime.settings.stream, runtime.producers, runtime.clock, runtime.redis
    sent, unreadable = 0, list[dict[str, object]]()
    pipeline = client.pipeline(transaction=False)
    bar = progress()
    task = bar.add_task("sending", total=None)

    def send() -> int:
        if unreadable and not sent and len(unreadable) == len(pipeline):
            # another file than was meant, or one event over many lines
            bar.stop()
            ask(f"No event in the first {count(len(pipeline), 'line')} of {file}: put them among the dead letters?", yes=yes)
        return len(pipeline.execute())

    try:
        client.ping()
        bar.start()
        for number, line in _lines(file):
            try:
                fields = producers.signed(line, read_event(line, clock.now()).source)
            except Malformed as fault:
                unreadable.append({"line": number, "reason": fault.reason, "detail": fault.detail})
                fields = {"event": line}
            pipeline.xadd(stream, fields)
            if len(pipeline) == AT_ONCE:
                sent += send()
                bar.update(task, completed=sent)
        sent += send()
    except (redis.RedisError, OSError) as error:
        raise TryLater("Redis", f"{one_line(error).rstrip('.')}; {_sent(sent)}") from error
    finally:
        bar.stop()
    return sent, unreadable
