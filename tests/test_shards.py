"""``.plf`` members of WebDataset shards, decoded by the real webdataset on tar files made here."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch
from skimage.data import astronaut

import featcodec
from featcodec.errors import ChecksumError, CodecFileError, InputError, LimitError, ModelMismatchError

wds = pytest.importorskip("webdataset")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # it does not close shards


@pytest.fixture(scope="module")
def codec():
    return featcodec.load("yolox-nano-private")


@pytest.fixture(scope="module")
def files(codec):
    """Three files, by two codecs."""
    other = featcodec.load("yolox-nano-open")
    return [codec.encode(astronaut()), codec.encode(astronaut()[:, :384]), other.encode(astronaut())]


@pytest.fixture
def shard(tmp_path):
    def make(members):
        path = tmp_path / "shard-000.tar"
        with wds.TarWriter(str(path)) as tar:
            for i, member in enumerate(members):
                tar.write({"__key__": f"street/{i:03}", "json": {"number": i}, **member})
        return str(path)

    return make


def samples(path, decoder, **options):
    data = wds.WebDataset(path, shardshuffle=False)
    return list(data.decode(decoder, **options))


def test_members_become_what_decode_gives(codec, files, shard):
    found = samples(shard([{"plf": data} for data in files[:2]]), featcodec.webdataset_decoder(codec))
    assert [one["json"] for one in found] == [{"number": 0}, {"number": 1}]
    for one, data in zip(found, files, strict=False):
        assert torch.equal(one["plf"], codec.decode(data))
        assert one["plf"].geometry == codec.decode(data).geometry


def test_members_become_boxes_and_find_their_own_codecs(files, shard):
    path = shard([{"left.plf": data, "plf": files[0]} for data in files])
    found = samples(path, featcodec.webdataset_decoder(boxes=True, confidence=0.1))
    for one, data, name in zip(found, files, ("private", "private", "open"), strict=True):
        boxes = featcodec.load(f"yolox-nano-{name}").detect(data, confidence=0.1)
        assert list(one["left.plf"]) == list(boxes)
        assert one["plf"][0].label == "person"


def test_without_boxes_members_find_their_own_codecs_too(files, shard):
    found = samples(shard([{"plf": data} for data in files]), featcodec.webdataset_decoder())
    assert all(torch.equal(one["plf"], featcodec.decode(d)) for one, d in zip(found, files, strict=True))


def test_a_damaged_member_is_named_to_the_handler_and_does_not_keep_the_others(files, shard):
    damaged = bytearray(files[0])
    damaged[-1] ^= 1
    seen = []

    def handler(error):
        seen.append(error)
        return True

    path = shard([{"plf": files[0]}, {"plf": bytes(damaged)}, {"plf": b""}, {"plf": files[1]}])
    found = samples(path, featcodec.webdataset_decoder(), handler=handler)
    assert [one["__key__"] for one in found] == ["street/000", "street/003"]
    assert [type(error.__cause__) for error in seen] == [ChecksumError, featcodec.TruncatedError]
    assert [(error.key, error.k) for error in seen] == [("street/001", "plf"), ("street/002", "plf")]
    with pytest.raises(wds.autodecode.DecodingError) as caught:
        samples(path, featcodec.webdataset_decoder())
    assert isinstance(caught.value.__cause__, featcodec.BitstreamError)


def test_limits_and_codecs_hold_as_elsewhere(codec, files):
    with pytest.raises(LimitError):
        featcodec.webdataset_decoder(limits=featcodec.Limits(max_latents=10))(".plf", files[0])
    with pytest.raises(ModelMismatchError):
        featcodec.webdataset_decoder(codec)(".plf", files[2])
    with pytest.raises(CodecFileError):
        featcodec.webdataset_decoder(__file__)
    with pytest.raises(InputError, match="codec: got int, expected a codec, its name or path, or None"):
        featcodec.webdataset_decoder(7)


def test_workers_can_be_sent_the_decoder_and_send_features_back(codec, files):
    decoder = pickle.loads(pickle.dumps(featcodec.webdataset_decoder(codec)))
    features = pickle.loads(pickle.dumps(decoder(".plf", files[1])))
    assert features.geometry == codec.decode(files[1]).geometry
    assert torch.equal(features, codec.decode(files[1]))


def test_a_loader_with_workers_batches_features(codec, files, shard):
    path = shard([{"plf": files[0]}, {"plf": files[0]}])
    data = wds.WebDataset(path, shardshuffle=False).decode(featcodec.webdataset_decoder(codec))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the loader, on forks and missing accelerators
        (batch,) = wds.WebLoader(data.to_tuple("plf").batched(2), batch_size=None, num_workers=1)
    assert torch.equal(batch[0], torch.stack([codec.decode(files[0])] * 2))
