"""Attacks on the privacy of a codec: what a thief of the bytes can rebuild."""

ATTACKERS = ("invnet", "unet", "white-box")
