"""What `scripts/gpu` runs: whether jaxgmm is right on the device at hand, and then how fast."""
