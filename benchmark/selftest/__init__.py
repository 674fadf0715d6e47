"""What works on a device and what does not: `segbench doctor --gpu`."""
