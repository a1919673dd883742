"""Data sets and measures; the `featcodec-bench` command."""
