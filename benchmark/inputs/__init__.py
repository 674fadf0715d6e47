"""Build batches from datasets, a protocol and a seed."""
