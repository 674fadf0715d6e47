"""Complete configs, from an architecture and a protocol."""
