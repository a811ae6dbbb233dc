"""From an event to its verdict, committed: one at once, or thousands in a batch."""
