"""What a run of the bench found, as a file, as text, as plots and as a page."""

from __future__ import annotations

from featcodec.bench.results import BD, Attacked, Entry, Made, Point, Reference, Result

MADE = Made(
    command="featcodec-bench --data val.json --images val/ --codec street --anchors raw-vvc,image-vvc",
    commit="0123456789abcdef",
    date="2025-11-21T10:00:00Z",
    versions={"python": "3.11.7", "torch": "2.9.0"},
    machine="x86_64, 2 cores",
    seeds={"bootstrap": 1},
)


def point(at, size, accuracy, *, uncoded=35.7):
    lost = uncoded - accuracy
    spread = (accuracy - 2.4, accuracy + 2.5), (lost - 0.45, lost + 0.5)
    return Point(
        at, size, 8 * size / 256_000, accuracy, accuracy + 18, spread[0], lost, spread[1], 31.5, 40.25
    )


def attack(target, at, attacker, psnr, *, faces=None, curve=()):
    interval = (psnr - 0.3, psnr + 0.35)
    figures = (0.41, psnr - 2.1, psnr + 1.4)
    size = 0.0 if target == "raw" else 3200.0
    return Attacked(
        target, at, size, attacker, 600, 280, psnr, interval, *figures, faces, faces and faces / 2, curve
    )


def small():
    """A result with one of everything, for exact texts."""
    return Result(
        made=MADE,
        data="COCO val2017, 280-image subset",
        pictures=280,
        labelled=True,
        demo=False,
        network="YOLOv5s v6 at 448 px, cut after layer 4",
        uncoded_map=35.7,
        uncoded_ap50=53.9,
        entries=(
            Entry("street", "codec", "against an adversary", (point(1, 1319, 33.1), point(4, 4259, 35.52))),
            Entry("raw-vvc", "features", "", (point(44, 14_400, 32.2), point(40, 31_100.4, 35.8))),
        ),
        bd=(
            BD("street", "raw-vvc", "rate", "pchip", -87.25, (-89.1, -84.0), (33.1, 35.52), 0.89, None, ()),
            BD("street", "raw-vvc", "rate", "akima", None, None, None, 0.0, "2 points, akima needs 5", ()),
            BD("street", "raw-vvc", "rate", "pchip", -86.0, None, (33.1, 35.5), 0.5, None, ("raw-vvc@22",)),
        ),
        attacks=(
            attack("street", 4, "invnet", 14.91, faces=61.5, curve=((200, 13.8), (600, 14.9))),
            attack("street", 4, "unet", 15.2, faces=63.0),
            attack("raw", 0, "unet", 20.3),
        ),
        notes=("avif: this Pillow has no encoder for it",),
        reference=Reference(12.59, None, 99.2, 98.0),
    )
