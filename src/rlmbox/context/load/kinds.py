"""The kind of a file, by its name and by how it begins."""

from __future__ import annotations

from pathlib import Path

from rlmbox.context.load.converting import convertible
from rlmbox.context.load.encodings import has_byte_order_mark
from rlmbox.context.storage.source import InFile

_SNIFFED_BYTES = 8192
_BINARY = (
    ".7z .a .avi .bin .bmp .bz2 .class .db .dll .doc .docx .dylib .eot .exe .flac .gif .gz .ico .jar .jpeg .jpg .lib"
    " .mkv .mo .mov .mp3 .mp4 .npy .npz .o .obj .odt .ogg .otf .parquet .pdf .pickle .pkl .png .ppt .pptx .pyc .pyd"
    " .pyo .rar .so .sqlite .sqlite3 .tar .tgz .tif .tiff .ttf .wasm .wav .webm .webp .whl .woff .woff2 .xls .xlsx"
    " .xz .zip .zst"
)
_BINARY_SUFFIXES = frozenset(_BINARY.split())


def is_called_binary(name: str) -> bool:
    """Return whether a file's ending is one of files that are not text and cannot be converted."""
    path = Path(name)
    return path.suffix.lower() in _BINARY_SUFFIXES and not convertible(path)


def is_binary(file: InFile) -> bool:
    """Return whether a file begins like one that is not text."""
    head = file.read(0, min(_SNIFFED_BYTES, file.size_bytes))
    return b"\0" in head and not has_byte_order_mark(head)
