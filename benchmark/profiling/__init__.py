"""Measure the cost of networks: parameters, multiply-accumulates, time, memory."""
