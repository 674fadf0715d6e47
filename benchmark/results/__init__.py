"""Results of runs: records, their store, and the environment of the run."""
