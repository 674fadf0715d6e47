"""Layers of backbones and heads."""
