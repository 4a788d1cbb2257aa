"""Search in linear time."""
