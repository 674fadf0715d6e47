"""Networks from an image to logits whose parts do not simply follow each other."""
