"""The catalog of architectures, protocols and published figures."""
