"""Editions of the terms: which holds, and what another would have decided."""
