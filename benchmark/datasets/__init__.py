"""Datasets: classes, splits, download and verification. Light to import: no torch here."""
