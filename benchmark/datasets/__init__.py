"""Datasets: what they are, where they lie, how to get and verify them. Light to import: no torch here."""
