"""The steps: what happens to a case, from the first event to the last history row. Each step is at most one transaction long."""
