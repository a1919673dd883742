"""The programs `featcodec` (main), `featcodec-bench` (bench) and `plf` (plf): one module a command."""
