"""The worker: it acts on what `policy` decides, and decides nothing itself."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    celery: Celery

__all__ = ["celery"]


@contextmanager
def imported_for_good() -> Iterator[None]:
    """What is imported within stays, and no garbage collection looks through it: to do so while it is imported and once more when
    Python ends would take nearly as long as to import it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def __getattr__(name: str) -> Any:
    # `celery -A worker …` asks for this attribute; building the application only then keeps `refunds --help` quick.
    if name == "celery":
        with imported_for_good():
            from worker.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
