"""Tests, intervals and corrections; knows no result."""
