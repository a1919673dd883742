"""How a codec is fitted to a frozen network: objective, loop, export. See docs/fitting.md."""
