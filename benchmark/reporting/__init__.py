"""Tables and pages for people. Needs no torch."""
