"""Datasets: classes, splits, download and verification. Does not import torch."""
