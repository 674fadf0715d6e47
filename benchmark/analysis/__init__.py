"""Analysis of many results. Does not import torch, and takes seconds on a laptop."""
