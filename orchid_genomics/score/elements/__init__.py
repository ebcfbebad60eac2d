"""Elements to numbers."""
