"""Binary data read forwards, and the variable-length numbers in it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from featcodec.errors import BitstreamError, MalformedError

__all__ = ["MAX_UINT", "Cursor", "varint"]

MAX_UINT = 2**32 - 1


@dataclass(slots=True)
class Cursor:
    """Reads forwards up to ``end``, which is the end of ``whole``; asking for more raises ``exhausted``."""

    view: memoryview
    position: int
    end: int
    whole: str
    exhausted: type[BitstreamError]

    def take(self, count: int, what: str) -> memoryview:
        """Return the next ``count`` bytes without copying them."""
        left = self.end - self.position
        if count > left:
            raise self.exhausted(
                f"{what} at offset {self.position}: got {left} bytes, expected {count}:"
                f" {self.whole} ends early"
            )
        self.position += count
        return self.view[self.position - count : self.position]

    def varint(self, what: str) -> int:
        """Return the next unsigned LEB128 number, which must be in its shortest form."""
        start, value, byte = self.position, 0, 0
        for shift in (0, 7, 14, 21, 28):
            byte = self.take(1, what)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        got = " ".join(f"{byte:02x}" for byte in self.view[start : self.position])
        if byte >= 0x80 or value > MAX_UINT:
            raise MalformedError(f"{what} at offset {start}: got {got}, expected a varint below 2**32")
        if byte == 0 and self.position > start + 1:
            raise MalformedError(f"{what} at offset {start}: got {got}, expected its shortest form")
        return value


def varint(value: int) -> bytes:
    """Return a number in its shortest unsigned LEB128 form.

    Args:
        value: 0 to `MAX_UINT`.

    Returns:
        1 to 5 bytes.

    Example:
        >>> varint(4000).hex(" ")
        'a0 1f'
    """
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
