"""The page that a codec gets on the Hugging Face Hub: what it is for, how to use it, what is known of it."""

from __future__ import annotations

import re

from featcodec.codec.codec_file import CodecFile
from featcodec.files import printable
from featcodec.networks.embedded import is_embedded

__all__ = ["markdown", "model_card"]

_CARD = """\
---
library_name: featcodec
{license}tags:
- featcodec
- feature-coding
- split-computing
---

# {name}

{description}

A codec of featcodec: it compresses what crosses a cut through a vision network. A picture becomes a `.plf`
file, from which the rest of the network goes on.

| | |
|---|---|
| network | {network}, cut after `{at}` |
| its weights | {weights} |
| network behind the cut | {tail} |
| pictures | scaled down to {size} px |
| channels | {features} of features, {latents} of latents at a stride of {stride} px |
| quality | 1 (smallest) to 8 |
| fingerprint | `{fingerprint}` |

## Use

```
pip install 'featcodec[hub]'
```

```python
import featcodec

{load}
data = codec.encode("photo.jpg", quality=4)  # bytes: a complete .plf file
features = codec.decode(data)  # what the network's tail takes
{result}
```

The file is safetensors: nothing in it is executed.

## Rates and accuracy

{figures}

## Privacy

What a thief of the files rebuilds of the pictures, and whom it tells apart, `featcodec attack` measures. That
is empirical, and no proof. Do not rely on a codec whose files were not attacked.

## Licence

{terms}
"""
_UNMEASURED = (
    "No figures were given. How many bytes a file has depends on picture and quality; `featcodec-bench`\n"
    "measures bytes and accuracy, and `featcodec push --result` puts them here."
)


def model_card(file: CodecFile, repository: str, *, license: str | None = None, figures: str = "") -> str:
    """The card, Markdown with metadata as the hub reads it.

    Args:
        file: of the codec.
        repository: ``owner/name``, where it goes.
        license: as the hub spells it, such as ``"apache-2.0"``; its owner's to choose.
        figures: Markdown on rates and accuracy.

    Example:
        >>> import featcodec
        >>> card = model_card(featcodec.load("yolox-nano-open").file, "ann/street", license="apache-2.0")
        >>> card.splitlines()[:3], 'featcodec.load("hf://ann/street")' in card
        (['---', 'library_name: featcodec', 'license: apache-2.0'], True)
    """
    config, network = file.config, file.config.network
    load, weights = f'codec = featcodec.load("hf://{repository}")', "in featcodec"
    if file.has_network:
        weights = "in the file"
    elif not is_embedded(network.digest):
        weights = "its owner brings them"
        load = f'codec = featcodec.load("hf://{repository}", network=network)  # as it was fitted to'
    detects = "boxes = codec.detect(features)  # in pixels of the photograph"
    return _CARD.format(
        license=f"license: {license}\n" if license else "",
        name=config.name,
        description=markdown(config.description),
        network=markdown(network.kind),
        at=printable(str(network.at)).replace("`", "'"),
        weights=weights,
        tail="tuned to what is decoded; its weights are in the file" if file.tail else "as it was",
        size=config.size,
        features=config.widths.features,
        latents=config.widths.latents,
        stride=config.latent_stride,
        fingerprint=file.fingerprint.hex(),
        load=load,
        result="outputs = codec.tail(features)" if network.classes is None else detects,
        figures=figures or _UNMEASURED,
        terms=_terms(file, license),
    )


def _terms(file: CodecFile, license: str | None) -> str:
    own = "Its owner has not said under which terms."
    if license:
        own = f"The codec is under {markdown(license)}."
    if not (file.has_network or file.tail):
        return f"{own} The file holds none of the network's weights; for those the network's terms hold."
    holds = "the network's weights" if file.has_network else "weights made of the network's (its tuned tail)"
    return f"{own} The file holds {holds}: the terms of the network hold for them, too."


def markdown(text: str) -> str:
    r"""Somebody else's text on one line of Markdown, without what would be markup.

    Example:
        >>> print(markdown("<b>of streets</b> | v2"))
        \<b\>of streets\</b\> \| v2
    """
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", printable(text))
