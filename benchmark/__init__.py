"""segbench: a benchmark and reproducibility suite for semantic segmentation."""

__version__ = "0.2.0"
