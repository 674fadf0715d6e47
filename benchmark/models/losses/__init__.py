"""Losses that mmsegmentation lacks."""
