"""What can go wrong with a layer job, and what comes of its re-run: one function a story, its first line in plain English.

Each story writes down its own end as the policy page has it; nothing here asks `policy.decide`.
"""

from worker.sandbox.pipeline import RerunPlan
from worker.sandbox.telling import Telling


def all_layers_arrived(job: Telling) -> None:
    """All layers arrived and were downloaded: nothing is owed"""
    job.submitted()
    job.succeeded()
    job.downloaded()


def arrived_and_edited(job: Telling) -> None:
    """All layers arrived and the customer edited them: nothing is owed"""
    job.submitted()
    job.succeeded()
    job.downloaded()
    job.edited()


def server_error(job: Telling) -> None:
    """The server failed in a way no re-run mends: the credits came back"""
    job.submitted()
    job.failed(job.one_of("internal_error", "model_error", "bad_output"))
    job.ends("refunded", credits=job.price)


def gpu_ran_out(job: Telling) -> None:
    """GPU ran out of memory, or the queue was full: the re-run delivered"""
    job.submitted()
    job.failed(job.one_of("gpu_out_of_memory", "queue_timeout", "capacity_exceeded"))
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def crashed_then_delivered(job: Telling) -> None:
    """A process crashed or storage was away: the re-run delivered"""
    job.submitted()
    job.failed(job.one_of("worker_crashed", "storage_error", "upstream_unavailable"), delivered=1)
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def pipeline_away_at_first(job: Telling) -> None:
    """The pipeline was away when the re-run was asked for, heard it the second time, and delivered"""
    job.submitted()
    job.failed("upstream_unavailable")
    job.rerun(RerunPlan.UNREACHABLE_ONCE)
    job.ends("delivered")


def timed_out_twice(job: Telling) -> None:
    """A stage timed out, and the re-run failed too: the credits came back"""
    job.submitted()
    job.failed(job.one_of("job_timeout", "stage_timeout"))
    job.rerun(RerunPlan.FAILS)
    job.ends("refunded", credits=job.price)


def rerun_refused(job: Telling) -> None:
    """The pipeline refused the re-run: the credits came back"""
    job.submitted()
    job.failed("storage_error")
    job.rerun(RerunPlan.REFUSES)
    job.ends("refunded", credits=job.price)


def rerun_never_answered(job: Telling) -> None:
    """The re-run was accepted and never heard of again: the credits came back at the deadline"""
    job.submitted()
    job.failed("capacity_exceeded")
    job.rerun(RerunPlan.NEVER_ANSWERS)
    job.ends("refunded", credits=job.price)


def rerun_delivered_partly(job: Telling) -> None:
    """The re-run delivered more, but not all: all credits came back and the customer keeps the files"""
    job.submitted()
    job.failed("job_timeout", delivered=1)
    job.rerun(RerunPlan.DELIVERS_PARTLY)
    job.ends("refunded", credits=job.price)


def layers_missing(job: Telling) -> None:
    """Layers were missing or corrupted: the re-run delivered all of them"""
    job.submitted()
    job.incomplete(job.one_of("missing_layers", "corrupted_output", "corrupted_download"), missing=1, corrupted=1)
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def missing_without_a_word(job: Telling) -> None:
    """Layers were missing and nobody said why; the re-run failed: the credits came back"""
    job.submitted()
    job.incomplete(None, missing=2)
    job.rerun(RerunPlan.FAILS)
    job.ends("refunded", credits=job.price)


def success_with_a_hole(job: Telling) -> None:
    """The pipeline called it a success, but a layer was missing: the re-run delivered"""
    job.submitted()
    job.succeeded(delivered=job.layers - 1)
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def failed_in_output(job: Telling) -> None:
    """The job failed for a fault of its output: the re-run delivered"""
    job.submitted()
    job.failed(job.one_of("missing_layers", "corrupted_output", "corrupted_download"))
    job.rerun(RerunPlan.DELIVERS)
    job.ends("delivered")


def bad_input(job: Telling) -> None:
    """The uploaded file was no usable image: declined, not a fault of the server"""
    job.submitted()
    job.failed(job.one_of("invalid_image", "unsupported_format", "image_too_large", "corrupted_upload"))
    job.ends("declined")


def unsafe_content(job: Telling) -> None:
    """The image was rejected for its content: declined"""
    job.submitted()
    job.failed("content_rejected")
    job.ends("declined")


def cancelled(job: Telling) -> None:
    """The customer cancelled a job that had started: declined"""
    job.submitted()
    job.failed("cancelled_by_user")
    job.ends("declined")


def unknown_code(job: Telling) -> None:
    """Nobody knows the failure code: the credits came back while the day's doubt budget lasted, else a person looks at it"""
    job.submitted()
    job.failed(job.one_of("E_1207", "tensor_shape_mismatch"))
    job.ends("refunded", "review", credits=job.price)
