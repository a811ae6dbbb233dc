"""Celery's way to Redis: by the same address as ours, in its words; `worker/settings.py` refuses what it would take otherwise."""

import os
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import redis
from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

import celeryconfig
from worker.settings import Settings

QUEUES = tuple(queue.name for queue in celeryconfig.task_queues)
"""Every queue has to have a worker that takes from it."""
BEFORE_ANY_SETTING = (
    *("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"),
    *("CELERY_RESULT_BACKEND", "CELERY_LOADER"),
)
"""Variables that every Celery of this environment goes by; the command `celery` sets them too, by `BROKER_URL` and the like."""
# kombu chooses the transport by the scheme of the address, whatever else is configured
TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "worker.transport:Transport")


def celery_of(settings: Settings) -> Celery:
    """The application without its tasks and its schedule: enough to ask the task processes, and to send."""
    # another program's Celery has them here: processes would then send where no worker of ours takes, or take what is not ours
    for name in BEFORE_ANY_SETTING:
        os.environ.pop(name, None)
    made = Celery("refunds", broker=_in_its_words(settings.redis_url), set_as_current=False)
    made.config_from_object("celeryconfig")
    # Celery's keys apart from the product's on a shared Redis, and from those of another installation
    made.conf.broker_transport_options = celeryconfig.broker_transport_options | {"global_keyprefix": f"{settings.group}:"}
    return made


def queued(client: redis.Redis, group: str) -> dict[str, int]:
    """How many task messages no worker has taken yet, by queue. Raises `redis.RedisError` when Redis is away."""
    with client.pipeline(transaction=False) as asked:
        for queue in QUEUES:
            asked.llen(f"{group}:{queue}")
        return dict(zip(QUEUES, map(int, asked.execute()), strict=True))


def answers(app: Celery, question: str, seconds: float, **more: Any) -> list[tuple[str, Any]]:
    """What the task processes said within this time, each with its name. (Of two of one name `inspect` keeps one.)"""
    told = app.control.broadcast(question, reply=True, timeout=seconds, **more) or []
    return [(name, said) for answer in told for name, said in answer.items()]


def shared_names(said: list[tuple[str, Any]]) -> list[str]:
    """The names under which more than one answered: whatever one of them is told reaches the others too."""
    return sorted(name for name, times in Counter(name for name, _ in said).items() if times > 1)


def _in_its_words(url: str) -> str:
    """The broker's address as kombu reads it; over TLS the certificate is asked for, which it does not do of itself."""
    # what comes after one would be another broker
    parts = urlsplit(url.replace(";", "%3B"))
    options = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={options.get('db', ['0'])[0]}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in options:
        parts = parts._replace(query="&".join(filter(None, [parts.query, "ssl_cert_reqs=required"])))
    return urlunsplit(parts)
