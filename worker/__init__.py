"""The worker: it acts on what `policy` decides, and decides nothing itself."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    celery: Celery

__all__ = ["celery"]


def __getattr__(name: str) -> Any:
    # `celery -A worker …` asks for this attribute; building the application only then keeps `refunds --help` quick.
    if name == "celery":
        from worker.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
