"""Statistical tests, confidence intervals and corrections, independent of results."""
