"""The doctor: what the promise stands on, looked at before it gives way."""
