"""The 80 classes of COCO, numbered as in networks trained on it, such as official YOLOv5 and YOLOX."""

from __future__ import annotations

__all__ = ["CATEGORY_IDS", "COCO"]

_NAMES = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush
"""
COCO = tuple(name.strip() for name in _NAMES.split(","))
# in COCO's own files the numbers go from 1 to 90, as ten classes were dropped after they were numbered
_DROPPED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = dict(zip(COCO, (i for i in range(1, 91) if i not in _DROPPED), strict=True))
