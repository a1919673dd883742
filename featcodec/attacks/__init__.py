"""Attacks on the privacy of a codec: what a thief of the bytes can rebuild, and what it can infer."""

# the built-in attackers: name, and what makes each, imported when it is used, since torch takes seconds
BUILT_IN = {
    "invnet": "featcodec.attacks.network_attacker:invnet",
    "unet": "featcodec.attacks.network_attacker:unet",
    "white-box": "featcodec.attacks.whitebox:white_box",
}
# those that rebuild no picture, but infer whose face it is
INFERRING = {
    "ridge": "featcodec.attacks.regression_inferrer:ridge",
    "kernel-ridge": "featcodec.attacks.regression_inferrer:kernel_ridge",
    "vector-net": "featcodec.attacks.network_inferrer:vector_net",
}
ATTACKERS = (*BUILT_IN, *INFERRING)
# so few weights that a thief goes with its codec; weaker than those above, so nobody tries it unless asked
NARROW = {"unet-36": "featcodec.attacks.network_attacker:unet_36"}

# of an attack that looked at faces without a thief of the second kind
ONLY_REBUILT = (
    "Faces were looked for on rebuilt pictures alone. Thieves that infer who somebody is reach more; without "
    "portraits to learn from (--face-train) they were not tried."
)
