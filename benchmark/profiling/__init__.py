"""What a network costs: parameters and arithmetic, time, memory."""
