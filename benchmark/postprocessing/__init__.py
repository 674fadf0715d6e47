"""Postprocessing of predictions."""
