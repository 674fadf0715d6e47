"""Post-process predictions of a network."""
