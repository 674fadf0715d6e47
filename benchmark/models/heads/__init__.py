"""Networks that turn feature maps into logits."""
