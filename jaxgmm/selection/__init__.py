"""How many components, and of what shape."""
