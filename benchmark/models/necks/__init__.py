"""Necks: networks between the encoder and the heads."""
