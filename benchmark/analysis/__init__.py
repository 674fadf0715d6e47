"""Tables over results: leaderboards. Needs no torch."""
