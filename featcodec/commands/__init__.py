"""The programs `featcodec`, `featcodec-bench` and `plf`: command lines, and the work behind them."""
