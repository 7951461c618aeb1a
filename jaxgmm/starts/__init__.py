"""Where restarts start."""
