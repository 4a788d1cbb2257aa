"""Reading texts from paths, addresses and values."""
