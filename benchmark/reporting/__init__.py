"""Tables and pages for people to read, made from results alone: no torch, no network."""
