"""Anything to a picture tensor and its geometry; boxes back on the photograph, and drawn."""
