"""Under which circumstances a job fails: who owns it, what paid for it, and how the news of it came in. Written like
`mishaps.py`.
"""

from datetime import timedelta

from worker.sandbox.pipeline import RerunPlan
from worker.sandbox.telling import Telling


def pass_job_rerun(job: Telling) -> None:
    """A job on a 24-hour pass failed: the re-run delivered"""
    job.submitted("pass")
    job.failed("gpu_out_of_memory")
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def pass_job_lost(job: Telling) -> None:
    """A job on a 24-hour pass failed for good: no credits were paid, none are owed"""
    job.submitted("pass")
    job.failed("model_error")
    job.ends("nothing_owed")


def free_job_lost(job: Telling) -> None:
    """A newcomer's free job failed and its re-run too: nothing was paid, nothing is owed"""
    job.submitted("free")
    job.failed("stage_timeout")
    job.rerun(RerunPlan.FAILS)
    job.ends("nothing_owed")


def suspended_account(job: Telling) -> None:
    """The account is suspended: no re-run, but what is owed is booked"""
    job.submitted()
    job.failed("gpu_out_of_memory")
    job.rerun(RerunPlan.DELIVERS)
    job.ends("refunded", credits=job.price)


def deleted_account(job: Telling) -> None:
    """The account is deleted: what is owed is booked all the same"""
    job.submitted()
    job.failed("internal_error")
    job.ends("refunded", credits=job.price)


def input_expired(job: Telling) -> None:
    """The uploaded image had expired, so no re-run was possible: the credits came back"""
    job.submitted(expires_after=timedelta(minutes=4))
    job.failed("worker_crashed")
    job.rerun(RerunPlan.DELIVERS)
    job.ends("refunded", credits=job.price)


def two_purchases(job: Telling) -> None:
    """The job was paid from two purchases: the credits came back to both"""
    job.submitted()
    job.failed("internal_error")
    job.ends("refunded", credits=job.price)


def failure_came_first(job: Telling) -> None:
    """The failure arrived before the job was known: it waited, then the credits came back"""
    job.failed("bad_output")
    job.submitted()
    job.in_order = True
    job.ends("refunded", credits=job.price)


def failed_twice_said(job: Telling) -> None:
    """The same failure was reported under two event ids: the credits came back once"""
    job.submitted()
    job.failed("internal_error")
    job.failed("internal_error")
    job.ends("refunded", credits=job.price)


def failed_three_attempts(job: Telling) -> None:
    """The pipeline tried three times by itself and failed each time: one debit, given back once"""
    job.submitted()
    for attempt in (1, 2, 3):
        job.failed("model_error", attempt=attempt)
    job.ends("refunded", credits=job.price)


def delivered_five_times(job: Telling) -> None:
    """One failure event was delivered five times: the credits came back once"""
    job.submitted()
    job.failed("bad_output")
    job.again(4)
    job.ends("refunded", credits=job.price)


def conflicting_event(job: Telling) -> None:
    """A second event with another content under a used id: set aside, the credits came back once"""
    job.submitted()
    job.failed("internal_error")
    job.contradicted(lambda: job.failed("internal_error", message="the same failure, told differently"))
    job.ends("refunded", credits=job.price)


def late_success(job: Telling) -> None:
    """The job succeeded after its credits had come back: goodwill, nothing is debited again"""
    job.submitted()
    job.failed("internal_error")
    job.succeeded(late=True)
    job.ends("refunded", credits=job.price)


def imported_while_running(job: Telling) -> None:
    """The job came with the product's history, still running, and then failed: the credits came back"""
    job.imported("running")
    job.failed("model_error")
    job.ends("refunded", credits=job.price)


def imported_as_delivered(job: Telling) -> None:
    """The job came with the product's history, delivered and edited: nothing is owed"""
    done = (job.at + timedelta(minutes=3)).isoformat()
    job.imported("succeeded", layers_delivered=job.layers, downloads=2, edited_at=done, finished_at=done)


def imported_as_failed(job: Telling) -> None:
    """The product's history says only that the job failed: treated as an unknown code"""
    job.imported("failed", layers_delivered=0, finished_at=(job.at + timedelta(minutes=3)).isoformat())
    job.ends("refunded", "review", credits=job.price)
