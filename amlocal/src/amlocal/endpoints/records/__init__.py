"""Collected data: what an endpoint was asked and what it answered, on disk."""
