"""Many restarts run to their ends: blocks of steps on the device, and decisions between them on the host."""
