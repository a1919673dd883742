"""Which network a codec wants and which one was given, in words: what a digest does not tell."""

from __future__ import annotations

import torch
from torch import nn

from featcodec.codec.config import CodecConfig
from featcodec.networks.families import family_of

__all__ = ["mismatch", "missing", "wanted"]


def wanted(config: CodecConfig) -> str:
    """The network that a codec was fitted to."""
    about = config.network
    return f"{about.kind} with the weights it was fitted to, cut after layer {about.at}"


def missing(config: CodecConfig) -> str:
    """What to say where a codec comes without its network, and nobody brought it."""
    return (
        f"codec {config.name!r} comes without its network: give {wanted(config)}, with "
        f"featcodec.load(CODEC, network=...) or --network"
    )


def mismatch(config: CodecConfig, network: nn.Module, digest: str) -> str:
    """What to say of a network with another digest than the codec's."""
    about, family, untrained = config.network, family_of(network), _is_untrained(network)
    got = family.kind(network)
    same, detector = got == about.kind, about.classes is not None
    if any(p.dtype == torch.bfloat16 for p in network.parameters()):
        got += " in bfloat16, which keeps less of each weight than a digest covers"
    elif untrained:
        got += " with random weights"
    elif same:
        got += " with other weights"
    hint = "; give its weights file, too, as --weights or instead of the name"
    hint = hint if untrained and (same or not detector) else ""
    return (
        f"codec {config.name!r}: got {got}, expected {wanted(config)}{hint} "
        f"(digest {digest[:16]}, expected {about.digest[:16]})"
    )


def _norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _is_untrained(network: nn.Module) -> bool:
    """Whether batch normalisation, if there is any, never saw a picture: the weights are random."""
    means = [(norm.running_mean, norm.running_var) for norm in _norms(network)]
    return bool(means) and all(
        mean is not None and var is not None and not bool(mean.any()) and bool((var == 1).all())
        for mean, var in means
    )
