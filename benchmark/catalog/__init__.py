"""What there is: architectures, protocols, published figures."""
