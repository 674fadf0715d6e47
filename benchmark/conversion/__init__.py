"""Convert third-party weights to the names of the suite's modules."""
