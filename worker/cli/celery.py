"""Celery's commands on this very release, by our settings alone: `python -m worker.cli.celery …`.

By itself Celery looks for `worker` in the current folder first, where a product may have one of its own, or another release lies;
and its command takes each option that is not given from the environment (`CELERY_BEAT_SCHEDULER`), where a product's may stand.
"""

from celery.bin.celery import celery

import worker

OURS = worker
"""What was imported is not looked for again."""

if __name__ == "__main__":
    celery()
