"""Telling others: the product now, customers with the notices to come."""
