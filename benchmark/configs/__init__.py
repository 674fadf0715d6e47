"""Composition of complete configs from an architecture and a protocol."""
