"""The event that begins a trace in tests."""

import json

TRACE_ID, EVENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE_ID}-{EVENT}-01"


def traced(document: str, trace: str = GIVEN) -> str:
    """The same event, sent within a trace."""
    return json.dumps(json.loads(document) | {"traceparent": trace})
