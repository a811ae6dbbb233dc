"""A stand-in for Creem, stricter and nastier than the real thing (creem-api.md, section 15), with a money ledger of its own."""

from worker.sandbox.creem.charges import Movement
from worker.sandbox.creem.desk import Seen
from worker.sandbox.creem.double import CreemDouble
from worker.sandbox.creem.switches import Switches
from worker.sandbox.creem.words import Lost, RefundAnswer, SecondRefund

__all__ = ["CreemDouble", "Lost", "Movement", "RefundAnswer", "SecondRefund", "Seen", "Switches"]
