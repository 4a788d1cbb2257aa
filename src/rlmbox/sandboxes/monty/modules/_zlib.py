"""Host functions behind `zlib` in Monty; sizes are bounded, since the data comes from a model's code."""

from __future__ import annotations

import zlib

from rlmbox.types import HostFunction

MAX_BYTES = 16 * 1024 * 1024
"""Most bytes that one call may decompress to, compress or checksum."""

_MAX_PACKED_BYTES = MAX_BYTES + 1024 * 1024  # data that does not compress grows a little
_MASK = 0xFFFFFFFF


def _checked(data: object, limit_bytes: int = MAX_BYTES) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}")
    if len(data) > limit_bytes:
        raise ValueError(f"zlib here takes at most {limit_bytes:,} bytes in one call; work in pieces")
    return data


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{type(value).__name__!r} object cannot be interpreted as an integer")
    # Far outside the range of zlib, but within that of a C int.
    return max(-1000, min(value, 1000))


def decompress(data: bytes, wbits: int = 15) -> bytes:
    """Decompress a whole zlib, gzip or raw stream, as `zlib.decompress` does.

    Raises:
        ValueError: The stream is damaged, incomplete or larger than 16 MiB.
        TypeError: An argument is of the wrong type.
    """
    packed, window = _checked(data, _MAX_PACKED_BYTES), _integer(wbits)
    try:
        stream = zlib.decompressobj(window)
        result = stream.decompress(packed, MAX_BYTES + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(result) > MAX_BYTES:
        raise ValueError(f"the data decompresses to more than {MAX_BYTES:,} bytes")
    if not stream.eof:
        raise ValueError("Error -5 while decompressing data: incomplete or truncated stream")
    return result


def compress(data: bytes, level: int = -1, wbits: int = 15) -> bytes:
    """Compress up to 16 MiB, as `zlib.compress` does.

    Raises:
        ValueError: The data is too long, or `level` or `wbits` is not one that zlib has.
        TypeError: An argument is of the wrong type.
    """
    plain = _checked(data)
    try:
        stream = zlib.compressobj(_integer(level), zlib.DEFLATED, _integer(wbits))
        return stream.compress(plain) + stream.flush()
    except zlib.error as error:
        raise ValueError(str(error)) from None


def crc32(data: bytes, value: int = 0) -> int:
    """Compute a checksum of up to 16 MiB as `zlib.crc32` does, starting from `value`.

    Raises:
        ValueError: The data is too long.
        TypeError: An argument is of the wrong type.
    """
    return zlib.crc32(_checked(data), value & _MASK)


def adler32(data: bytes, value: int = 1) -> int:
    """Compute a checksum of up to 16 MiB as `zlib.adler32` does, starting from `value`.

    Raises:
        ValueError: The data is too long.
        TypeError: An argument is of the wrong type.
    """
    return zlib.adler32(_checked(data), value & _MASK)


HOST_FUNCTIONS: tuple[HostFunction, ...] = tuple(
    HostFunction(f"_rlm_zlib_{call.__name__}", call, f"The host's part of `zlib.{call.__name__}`.", pure=True)
    for call in (decompress, compress, crc32, adler32)
)
"""Host functions that the source of `zlib` calls; in the sandbox's own table, not in the prompt."""
