"""``.plf`` bytes to sections and back. Standard library only; docs/plf-format.md is normative."""
