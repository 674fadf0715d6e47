"""What follows from many results taken together. Needs no torch: a laptop does it in seconds."""
