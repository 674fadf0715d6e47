"""Heads: networks from feature maps to logits."""
