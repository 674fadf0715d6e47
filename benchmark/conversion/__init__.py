"""Weights from elsewhere, by the names of our modules."""
