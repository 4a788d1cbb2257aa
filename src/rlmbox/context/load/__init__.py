"""From paths, addresses and values to texts."""
