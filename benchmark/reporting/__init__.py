"""Tables and pages rendered from results only, without torch or network access."""
