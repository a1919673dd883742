"""Makes featcodec/zoo/networks/yolox-nano.safetensors: the official weights in float16, once for all codecs.

    python benchmarks/yolox/embed.py ../shared/weights/yolox-nano-416.onnx

The file is an ONNX file or a checkpoint of YOLOX-nano, as Megvii publishes them (Apache-2.0, see NOTICE). The
digest of a network is that of its weights as float16, so the embedded network has the digest of the file's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from safetensors.torch import save

from featcodec.files import write_atomic
from featcodec.networks.by_name import network_from_file
from featcodec.networks.embedded import METADATA_KEY
from featcodec.networks.identity import network_digest

TARGET = Path(__file__).parents[2] / "featcodec/zoo/networks/yolox-nano.safetensors"
SOURCE = "YOLOX-nano of Megvii, official weights: https://github.com/Megvii-BaseDetection/YOLOX"


def embedded(path: Path) -> bytes:
    """The file to embed, of the file of weights at `path`."""
    network = network_from_file(path)
    about = {
        "name": "yolox-nano",
        "source": SOURCE,
        "licence": "Apache-2.0, Copyright (c) Megvii Inc.",
        "note": "80 classes of COCO; batch normalisation folded; names of the official checkpoint; float16",
        "made_of": {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "digest": network_digest(network),
    }
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    return save(tensors, metadata={METADATA_KEY: json.dumps(about)})  # one key: the library sorts none


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path, help="file of the official weights")
    parser.add_argument(
        "--out", type=Path, default=TARGET, help="file to write (default: that in the package)"
    )
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(args.out, embedded(args.weights))


if __name__ == "__main__":
    main()
