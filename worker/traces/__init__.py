"""What is done within the trace of an event (W3C Trace Context), told to a collector where there is one."""

from worker.traces.span import Span, within
from worker.traces.telling import close, destination, tell, unmet

__all__ = ["Span", "close", "destination", "tell", "unmet", "within"]
