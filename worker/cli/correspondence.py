"""Mails and files of a case, as people see them."""

from typing import Any

from worker.cli import output
from worker.cli.output import cell, out


def mails(found: list[dict[str, Any]]) -> None:
    """Prints the mails on a case."""
    for mail in found:
        confirmed = "confirmed" if mail["confirmed_at"] else f"not confirmed: {mail['verdict_detail']}"
        confirmed += ", a machine's" if mail["automatic"] else ""
        output.line("mail", f"{mail['received_at'][:16]}Z  {mail['sender'] or 'no readable sender'} ({confirmed})")
        output.line("", mail["subject"], "bold")
        text = mail["text"]
        output.line("", text if len(text) <= 600 else f"{text[:600]}…")
        for problem in mail["problems"]:
            output.line("", problem, "yellow")


def files(found: list[dict[str, Any]]) -> None:
    """Prints the receipts of the files on a case."""
    if not found:
        return
    table = output.table("\nFiles", "file", "name", "is", "bytes", "sha256", "state", "gone by (UTC)", "looked at by")
    for item in found:
        gone = item["deleted_at"] or item["delete_by"]
        looks = ", ".join(dict.fromkeys(look["by"] for look in item["looks"]))
        row = (
            item["evidence_id"],
            item["name"],
            item["kind"],
            item["size"],
            item["sha256"][:12],
            item["state"],
            gone[:16],
            looks,
        )
        table.add_row(*(cell(value) for value in row))
    out.print(table)
