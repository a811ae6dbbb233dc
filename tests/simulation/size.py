"""How much happens in one seed: the weeks of a town, or a few days of a handful of jobs in a third of the time."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Size:
    """Bounds are from and to, both meant."""

    days: int
    """For so long things happen."""
    weather_ends: timedelta
    """From then on nothing more goes wrong."""
    at_least: timedelta
    """Before then nobody asks whether all is at rest."""
    jobs: tuple[int, int]
    storm: tuple[int, int]
    """Jobs of one storm."""
    charges: tuple[int, ...]
    """How many customers are charged twice, each as likely."""
    charges_among_people: tuple[int, ...]
    most_late: float
    """Hours by which an event may come late."""
    rarer: int
    """Kills, outages and their like come so many times more rarely than in weeks."""
    enough: int
    """In so many seeds everything that can go wrong has to go wrong once."""
    second_edition: str
    """The day from which the second edition of the terms counts."""


WEEKS = Size(
    days=12,
    weather_ends=timedelta(days=15),
    at_least=timedelta(days=18),
    jobs=(8, 24),
    storm=(15, 40),
    charges=(1, 2, 4),
    charges_among_people=(2, 4, 6),
    most_late=40,
    rarer=1,
    enough=20,
    second_edition="2026-03-08",
)
DAYS = Size(
    days=3,
    weather_ends=timedelta(days=4),
    at_least=timedelta(days=4, hours=12),
    jobs=(2, 8),
    storm=(3, 10),
    charges=(0, 1),
    charges_among_people=(1, 2),
    most_late=12,
    rarer=4,
    enough=300,
    second_edition="2026-03-04",
)
