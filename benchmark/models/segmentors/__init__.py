"""Segmentors: networks from an image to logits that are no plain sequence of parts."""
