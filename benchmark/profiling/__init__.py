"""Measure the cost of networks: parameters and arithmetic, time, memory."""
