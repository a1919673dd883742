"""Encoding on the device: a codec's first half, exported once, runs in onnxruntime without torch.

    edge folder: encoder.onnx (head, g_a, h_a) + entropy_model.safetensors + edge.json
    photograph ─canvas─▶ x ─encoder.onnx─▶ y / gains, z ─symbols─▶ .plf, as any other

`Encoder` needs the extra ``edge``; `featcodec.edge.export`, which makes the folder, ``onnx`` and ``edge``.
"""

from featcodec.edge.encoder import Encoder

__all__ = ["Encoder"]
