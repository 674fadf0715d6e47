"""What may be done to a prediction after the network."""
