"""Write, lock, unpack and cache files."""
