"""Segmentors: networks from an image to logits that are not a plain sequence of parts."""
