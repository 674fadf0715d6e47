"""Backbones: networks from an image to feature maps."""
