"""Batch normalisation of a checkpoint folded into its convolutions, by the names of the tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from featcodec.networks.pickle_records import Unusable, short

__all__ = ["folded"]

_PARTS = ("weight", "bias", "running_mean", "running_var")


def folded(tensors: Mapping[str, Tensor], *, epsilon: float) -> dict[str, Tensor]:
    """Fold every batch normalisation ``….bn`` into the convolution ``….conv`` beside it.

    Args:
        tensors: by name, as a state dict has them.
        epsilon: of the batch normalisation, which no checkpoint holds.

    Returns:
        The tensors without those of batch normalisation; those changed or new are float32.

    Raises:
        Unusable: a batch normalisation that does not fit its convolution.

    Source: Jacob et al. 2018 (arXiv:1712.05877), section 3.2.

    Example:
        >>> import torch
        >>> norm = {f"a.bn.{k}": torch.ones(2) for k in ("weight", "bias", "running_mean", "running_var")}
        >>> tensors = folded({"a.conv.weight": torch.ones(2, 1, 1, 1), **norm}, epsilon=0.0)
        >>> {name: value.flatten().tolist() for name, value in tensors.items()}
        {'a.conv.weight': [1.0, 1.0], 'a.conv.bias': [0.0, 0.0]}
    """
    out = dict(tensors)
    for prefix in [name.removesuffix("bn.weight") for name in tensors if name.endswith(".bn.weight")]:
        norm = [out.pop(f"{prefix}bn.{part}", None) for part in _PARTS]
        out.pop(f"{prefix}bn.num_batches_tracked", None)
        weight = out.get(f"{prefix}conv.weight")
        fits = weight is not None and all(t is not None and t.shape == weight.shape[:1] for t in norm)
        if weight is None or not fits or not weight.ndim or f"{prefix}conv.bias" in out:
            raise Unusable(
                f"{short(prefix)}bn: expected {', '.join(_PARTS)} with a number for each channel of a "
                "convolution without bias"
            )
        scale, shift, mean, variance = (t.float() for t in norm if t is not None)
        pair = fuse_conv_bn_weights(weight.float(), None, mean, variance, epsilon, scale, shift)
        out[f"{prefix}conv.weight"], out[f"{prefix}conv.bias"] = (t.detach() for t in pair)
    return out
