"""A finished codec with its hyperprior refitted: the same transforms, gains and format, fewer bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from featcodec.codec.codec_file import CodecFile
from featcodec.errors import InputError
from featcodec.fitting.export import hyperprior_tensors
from featcodec.fitting.start import set_codec
from featcodec.training.entropy_start import fit_prior
from featcodec.training.hyperprior import CodecModel
from featcodec.training.hyperprior_refit import refit_hyperprior

__all__ = ["refitted"]

PRIOR = 16  # pictures that the prior of z starts from


def refitted(file: CodecFile, latents: Sequence[Tensor], *, steps: int, seed: int = 0) -> CodecFile:
    """The codec with h_a, h_s and the tables of z trained on, for rate alone.

    It is another codec, with a fingerprint of its own, and reads no files of the one given. Its latents ŷ lie
    as near to y as they did, or nearer, but are others: attack it anew where privacy counts.

    Args:
        file: a fitted codec.
        latents: (M, h, w) of training pictures, as its g_a gives them; any shapes.
        steps: of the optimizer, with 8 pictures each.
        seed: of all that is random.

    Raises:
        InputError: no latents, or of another number of channels.
        CodecFileError: the hyper-synthesis left what integers carry exactly.

    Example:
        >>> import torch
        >>> from featcodec import zoo
        >>> file = zoo.decoder("yolox-nano-open").file
        >>> new = refitted(file, [torch.randn(128, 8, 12)], steps=1)
        >>> torch.equal(new.inverse_gain(0), file.inverse_gain(0)), new.fingerprint == file.fingerprint
        (True, False)
    """
    count = file.config.widths.latents
    wrong = next((tuple(y.shape) for y in latents if y.ndim != 3 or y.shape[0] != count), None)
    if wrong or not latents:
        raise InputError(f"latents: got {wrong or 'none'}, expected ({count}, h, w) of some pictures")
    alike = [y for y in latents if y.shape == latents[0].shape][:PRIOR]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CodecModel(file.config.widths)
        set_codec(model, [file])
        fit_prior(model, torch.stack(alike).float())
        refit_hyperprior(model, latents, steps=steps, seed=seed)
    tensors = {name: value.contiguous() for name, value in hyperprior_tensors(model).items()}
    return CodecFile(file.config, {**file.tensors, **tensors}).check()
