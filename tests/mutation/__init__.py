"""Mutation testing of the policy."""
