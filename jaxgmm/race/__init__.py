"""A race between starts: all run a little on a sample, few run to the end on all rows."""
