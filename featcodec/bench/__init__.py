"""What `featcodec-bench` does: anchors, the run, and its report."""
