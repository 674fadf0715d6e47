"""Networks between the encoder and the heads."""
