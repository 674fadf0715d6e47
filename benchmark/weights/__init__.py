"""Read and write checkpoint files."""
