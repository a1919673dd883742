"""The pictures of a fit: samples that depend on seed and number alone, whatever is in the folder."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data_dir
from torch.utils.data import Dataset

from featcodec.errors import FitError, InputError
from featcodec.fitting.data import Photographs, batches, data_set

ASTRONAUT = Path(data_dir, "astronaut.png")


@pytest.fixture
def folder(tmp_path):
    below = tmp_path / "photos" / "more"
    below.mkdir(parents=True)
    for i, size in enumerate([(80, 60), (30, 90)]):
        Image.fromarray(np.full((*size, 3), 50 * i, np.uint8)).save(below.parent / f"{i}.png")
    (below / "bad.jpg").write_bytes(b"no picture")
    return below.parent


class Labelled(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return torch.full((3, 64, 64), i / 5), i


def test_a_sample_depends_on_seed_and_number_alone():
    one, other = (Photographs([ASTRONAUT], side=64, seed=1) for _ in range(2))
    _ = other[3]
    assert torch.equal(one[8], other[8])
    assert not torch.equal(one[8], one[9])
    assert not torch.equal(one[8], Photographs([ASTRONAUT], side=64, seed=2)[8])


def test_a_bounded_memory_changes_no_sample():
    kept, not_kept = (Photographs([ASTRONAUT], side=64, seed=1, cache_bytes=n) for n in (1 << 20, 0))
    assert torch.equal(kept[0], not_kept[0])
    assert kept.kept[0].shape == (128, 128, 3)
    assert not not_kept.kept


def test_pictures_lie_at_many_scales_on_the_canvas_some_with_grey_around_them(folder):
    samples = Photographs([folder / "0.png"], side=64, seed=1)
    shares = [float((samples[i] == 114).float().mean()) for i in range(20)]
    assert max(shares) > 0.3
    assert min(shares) < 0.1
    assert {tuple(samples[i].shape) for i in range(20)} == {(3, 64, 64)}


def test_what_is_no_picture_is_passed_over(folder):
    samples = data_set(folder, side=64, seed=1)
    assert len(samples.paths) == 3
    assert all(samples[i].shape == (3, 64, 64) for i in range(8))
    with pytest.raises(FitError, match=r"none of 1 files is a readable picture, such as .*bad\.jpg"):
        _ = Photographs([folder / "more" / "bad.jpg"], side=64, seed=1)[0]


def test_a_coco_json_names_the_pictures(folder, tmp_path):
    annotations = tmp_path / "coco.json"
    annotations.write_text(json.dumps({"images": [{"file_name": "1.png"}]}))
    assert data_set(folder, side=64, seed=1, coco=annotations).paths == [folder / "1.png"]
    annotations.write_text(json.dumps({"images": [{"file_name": "9.png"}]}))
    with pytest.raises(InputError, match=r"got .*9\.png, expected pictures that are in"):
        data_set(folder, side=64, seed=1, coco=annotations)
    annotations.write_text(json.dumps({"images": [{"file_name": "1.png"}, {"file_name": "./1.png"}]}))
    with pytest.raises(InputError, match=r'got "\./1\.png" twice, once as "1\.png"'):
        data_set(folder, side=64, seed=1, coco=annotations)
    annotations.write_text("[]")
    with pytest.raises(InputError, match="got a list, expected a COCO json"):
        data_set(folder, side=64, seed=1, coco=annotations)


def test_every_so_many_pictures_are_held_out_by_name(folder):
    paths = data_set(folder, side=64, seed=1).paths
    assert data_set(folder, side=64, seed=1, hold_out=2).paths == paths[1::2]
    with pytest.raises(InputError, match="hold_out: got 1, expected more than 1"):
        data_set(folder, side=64, seed=1, hold_out=1)


def test_a_crop_shows_a_part_of_a_picture_at_the_size_in_use():
    for i in range(8):
        grey = (Photographs([ASTRONAUT], side=64, seed=1, size=256)[i] == 114).all(0)
        assert float(grey.float().mean()) < 0.05


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="got no pictures"):
        data_set(tmp_path, side=64, seed=1)
    with pytest.raises(InputError, match="got no paths"):
        data_set([], side=64, seed=1)


def test_batches_start_anywhere_and_no_two_processes_see_the_same_sample():
    samples = data_set(Labelled(), side=64, seed=1)
    whole = [labels.tolist() for _, labels in islice(batches(samples, 2)(0), 5)]
    later = [labels.tolist() for _, labels in islice(batches(samples, 2)(3), 2)]
    assert whole[3:] == later
    assert sorted([k for batch in whole for k in batch][:5]) == [
        0,
        1,
        2,
        3,
        4,
    ]  # an epoch has every sample once
    ranks = [next(iter(batches(samples, 1, rank=r, world=2)(0)))[1].tolist() for r in range(2)]
    assert [*ranks[0], *ranks[1]] == whole[0]


def test_pictures_without_labels_have_none():
    images, labels = next(iter(batches(Photographs([ASTRONAUT], side=64, seed=1), 2)(0)))
    assert (images.shape, images.dtype, labels) == ((2, 3, 64, 64), torch.uint8, None)
