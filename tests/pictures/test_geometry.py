"""The canvas holds the picture, and boxes find their way to it and back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featcodec.errors import InputError
from featcodec.pictures.geometry import Geometry

sides = st.integers(1, 60_000)
geometries = st.builds(
    Geometry.fit, sides, sides, size=st.integers(1, 2000), stride=st.integers(1, 128), upscale=st.booleans()
)


@given(geometries)
def test_the_canvas_is_the_least_multiple_of_the_stride_that_holds_the_picture(g: Geometry) -> None:
    for canvas, scaled, start in (
        (g.canvas_width, g.scaled_width, g.left),
        (g.canvas_height, g.scaled_height, g.top),
    ):
        assert canvas % g.stride == 0
        assert scaled <= canvas < scaled + g.stride
        assert 0 <= start <= canvas - scaled - start <= start + 1  # centred


@given(geometries)
def test_the_longest_side_is_size_and_the_shape_is_kept_to_half_a_pixel(g: Geometry) -> None:
    assert max(g.scaled_width, g.scaled_height) == g.size
    shorter, longer = sorted((g.width, g.height))
    assert abs(min(g.scaled_width, g.scaled_height) - max(1.0, shorter * g.size / longer)) <= 0.5


@given(sides, sides, st.integers(1, 2000))
def test_a_picture_grows_only_when_asked(width: int, height: int, size: int) -> None:
    assert Geometry.fit(width, height, size=size).size == min(size, max(width, height))
    assert Geometry.fit(width, height, size=size, upscale=True).size == size


@given(geometries, st.data())
def test_boxes_make_the_round_trip_within_a_canvas_pixel(g: Geometry, draw: st.DataObject) -> None:
    def span(side: int) -> tuple[float, float]:
        low, high = sorted(draw.draw(st.tuples(*[st.floats(0, side, width=32)] * 2)))
        return low, high

    (x0, x1), (y0, y1) = span(g.width), span(g.height)
    boxes = torch.tensor([[x0, y0, x1, y1]])
    back = g.boxes_to_picture(g.boxes_to_canvas(boxes))
    scale = torch.tensor([g.width / g.scaled_width, g.height / g.scaled_height] * 2)
    assert ((back - boxes).abs() <= 0.01 * scale + 0.01).all()  # float32, far inside 1 px


@given(geometries)
def test_the_frame_of_the_picture_on_the_canvas_is_the_photograph(g: Geometry) -> None:
    frame = [g.left, g.top, g.left + g.scaled_width, g.top + g.scaled_height]
    photograph = [[0.0, 0.0, float(g.width), float(g.height)]]
    torch.testing.assert_close(g.boxes_to_picture(torch.tensor([frame]).float()), torch.tensor(photograph))
    torch.testing.assert_close(g.boxes_to_canvas(torch.tensor(photograph)), torch.tensor([frame]).float())


def test_boxes_are_clipped_to_the_photograph_and_come_in_any_float_type() -> None:
    g = Geometry.fit(4000, 3000)
    for dtype, expected in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
        boxes = g.boxes_to_picture(torch.tensor([[-9, -9, 999, 999]], dtype=dtype))
        assert boxes.dtype == expected
        assert boxes.tolist() == [[0, 0, 4000, 3000]]
    assert g.boxes_to_picture(torch.empty(0, 4)).shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (torch.zeros(4), "got shape (4,), expected (N, 4)"),
        (torch.zeros(2, 6), "got shape (2, 6), expected (N, 4)"),
        (torch.zeros(2, 4, dtype=torch.int64), "got torch.int64, expected a float tensor"),
        ([[0, 0, 1, 1]], "got list, expected a float tensor"),
    ],
)
def test_boxes_of_another_shape_are_refused(boxes: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        Geometry.fit(10, 10).boxes_to_picture(boxes)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "416", None])
def test_sides_that_are_no_positive_integers_are_refused(wrong: Any) -> None:
    for name in ("width", "height", "size", "stride"):
        with pytest.raises(InputError, match=f"{name}: got {wrong!r}, expected an integer of at least 1"):
            Geometry(**({"width": 1, "height": 1, "size": 1, "stride": 1} | {name: wrong}))


def test_numpy_integers_do_not_wrap_around() -> None:
    wide, high = np.uint16(50_000), np.uint16(40_000)
    assert Geometry.fit(wide, high).scaled_height == Geometry(wide, high, 416, 32).scaled_height == 333
