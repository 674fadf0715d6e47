"""Compares results with published figures, and with each other, and says what can be said."""
