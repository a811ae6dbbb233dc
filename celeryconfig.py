"""Constants of Celery, each with its reason. What is set from outside (broker, schedule, concurrency) comes from `worker/app.py`.

Whatever is chosen here, Celery on Redis loses and doubles messages; nothing below is relied on for correctness.
"""

from typing import Any

from kombu import Queue  # type: ignore[attr-defined]

# Messages: ids as JSON. Anything that pickles would run code of whoever can write to Redis.
task_serializer = "json"
event_serializer = "json"
accept_content = ["json"]
enable_utc = True
timezone = "UTC"

# Queues: one slow outside world never delays another, and credits wait for nobody. On `money` one process at a time calls Creem
# (`worker/cases/money/turn.py`), so a slow Creem holds up one child of one worker; workers of its own (-Q money) free even that.
# Two workers on one host need names of their own (-n payer@%h): whatever one is told reaches all of its name.
task_queues = [Queue(name) for name in ("assess", "remedies", "money", "sweep")]  # type: ignore[no-untyped-call]
task_routes = {
    "refunds.assess": {"queue": "assess"},
    "refunds.drain": {"queue": "assess"},
    "refunds.rerun": {"queue": "remedies"},
    "refunds.announce": {"queue": "remedies"},
    "refunds.pay": {"queue": "money"},
    "refunds.book": {"queue": "money"},
    "refunds.reconcile": {"queue": "money"},
    # beside the claim journal, in whose folder the heads of the chain are kept
    "refunds.chain": {"queue": "money"},
    "refunds.sweep": {"queue": "sweep"},
    "refunds.requests": {"queue": "remedies"},
    "refunds.notify": {"queue": "remedies"},
}
task_default_queue = "assess"
# a misspelt queue is an error, not a new queue that nobody reads
task_create_missing_queues = False

# Acknowledged after the work, and given back when the process dies under it: every task may run twice without harm.
task_acks_late = True
task_reject_on_worker_lost = True
# one message in hand: what waits can be taken by another process
worker_prefetch_multiplier = 1
# The database knows what came of it; Flower sees results in the events all the same.
task_ignore_result = True

# Seconds. A batch takes under one; a task that hangs is ended and the sweep repeats its work. Stop grace: the hard limit and 35.
# Whatever calls outside begins nothing that could reach the soft limit (`worker/runtime.py`, LONGEST_TASK): to be ended in the
# middle of a call leaves an outcome that nobody knows.
task_soft_time_limit = 80
task_time_limit = 90
# Not between a call outside and the record of its answer.
worker_cancel_long_running_tasks_on_connection_loss = False
# A fresh process now and then costs half a second and bounds whatever leaks.
worker_max_tasks_per_child = 20_000

broker_transport_options: dict[str, Any] = {
    # longer than the hard limit and the stop grace: within it no second copy of a task starts because the first is slow
    "visibility_timeout": 600,
    # look for abandoned messages every 5 s; the defaults multiply to 100 s
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # nothing waits for ever on a Redis that went away without a word; a publish may then arrive twice, which is harmless
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
    # a hint that cannot be sent is dropped within half a second, not after six: kombu connects by these, whatever the task asked
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
broker_connection_retry_on_startup = True
# for ever: a Redis that is back after a night needs no operator
broker_connection_max_retries = None
# A Redis that answers and refuses (demoted to a replica, disk or memory full, an ACL that forbids) is waited for like one that is
# away; by itself a worker ends at such an answer and stays away when Redis is well again.
broker_channel_error_retry = True
# A schedule that publishes into the void gives up within a second and goes on: the next tick says the same.
task_publish_retry_policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}

# Flower lives on these events, nothing else does.
worker_send_task_events = True
task_send_sent_event = True

# One log format for our records and Celery's (`worker/observe.py`).
worker_hijack_root_logger = False
worker_redirect_stdouts = False

# Any number of schedules may run: sweeps are safe to run twice. This scheduler keeps its state in memory, none in a file, and
# sends nothing to a queue that nobody empties.
beat_scheduler = "worker.schedule:Schedule"
# seconds; the longest it sleeps over a clock that was set
beat_max_loop_interval = 5
