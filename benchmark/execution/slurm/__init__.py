"""Runs as jobs of Slurm, submitted through submitit: one job array for a sweep, one task for each run."""
