"""What a run leaves behind: the record, where it is kept, and the environment that it was made in."""
