"""The straight line from rows to the best restart, and what it returns."""
