"""Asking the pipeline for the one re-run of a job, over HTTP or on a stream."""

from worker.reruns.http import PipelineHttp
from worker.reruns.order import TOO_LATE, Answer, Reply, RerunOrder, Reruns
from worker.reruns.stream import PipelineStream

__all__ = ["TOO_LATE", "Answer", "PipelineHttp", "PipelineStream", "Reply", "RerunOrder", "Reruns"]
