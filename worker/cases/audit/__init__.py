"""The audit: whether the books hold, asked of the rows themselves. It only reads."""
