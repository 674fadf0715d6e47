"""Batches, from datasets, a protocol and a seed."""
