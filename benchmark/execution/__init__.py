"""Planning, scheduling and execution of runs."""
