"""Comparing with Creem and with the jobs, and mending our side."""
