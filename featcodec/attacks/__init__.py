"""Attacks on the privacy of a codec: what a thief of the bytes can rebuild."""

# the built-in attackers: name, and what makes each, imported when it is used, since torch takes seconds
BUILT_IN = {
    "invnet": "featcodec.attacks.network_attacker:invnet",
    "unet": "featcodec.attacks.network_attacker:unet",
    "white-box": "featcodec.attacks.whitebox:white_box",
}
