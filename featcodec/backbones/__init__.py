"""Networks that featcodec knows, where they can be cut, and their weights."""
