"""Verdicts: comparison of results with published figures and with each other."""
