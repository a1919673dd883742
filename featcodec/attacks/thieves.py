"""The thieves that come with the package: which one goes with a file, and with which codecs it compares."""

from __future__ import annotations

from functools import cache

from featcodec import zoo
from featcodec.attacks.thief_file import ThiefFile
from featcodec.codec.codec_file import CodecFile
from featcodec.codec.feature_codec import FeatureCodec
from featcodec.errors import ModelMismatchError
from featcodec.plf.header import Header
from featcodec.zoo import thieves

__all__ = ["embedded", "others_of_network", "thief_for"]


@cache
def embedded(name: str) -> ThiefFile:
    """The thief of an embedded codec, one of `featcodec.zoo.thieves.names`."""
    return ThiefFile.load(thieves.path(name))


def thief_for(header: Header) -> ThiefFile:
    """The embedded thief that learned from files of the codec that a ``.plf`` wants.

    Raises:
        ModelMismatchError: there is none; says how to make one.
    """
    for name in sorted(thieves.names(), key=lambda n: n != header.codec):  # the name is a hint
        if embedded(name).record.fingerprint == header.fingerprint.hex():
            return embedded(name)
    there = ", ".join(thieves.names()) or "none"
    raise ModelMismatchError(
        f"got a file of codec {header.codec!r} with fingerprint {header.fingerprint.hex()}, expected one of "
        f"a codec whose thief is embedded ({there}): train one by featcodec attack CODEC --embed THIEF, and "
        "give it by --thief THIEF, or as featcodec.rebuild(…, thief=…)"
    )


def others_of_network(file: CodecFile) -> list[tuple[FeatureCodec, ThiefFile]]:
    """The other embedded codecs for the same network that have a thief with them, and it.

    Args:
        file: the codec that they are compared with.
    """
    found = []
    for name in thieves.names():
        if name not in zoo.names(whole=True):
            continue
        codec, thief = zoo.load(name), embedded(name)
        same = codec.file.config.network.digest == file.config.network.digest
        if same and codec.fingerprint != file.fingerprint:
            thief.check_codec(codec.file)
            found.append((codec, thief))
    return found
