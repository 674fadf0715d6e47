"""Test which features work on a device: `segbench doctor --gpu`."""
