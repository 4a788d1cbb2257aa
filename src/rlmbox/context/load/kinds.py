"""Detection of a file's kind, from its first bytes and its name.

The content takes precedence over the name: an HTML page called `.xls` is a page, and a picture without an extension a
picture. The name decides among formats that begin alike, and for text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

HEAD_BYTES = 8192
"""How much of a file is looked at."""

TEXT = "text"
BINARY = "binary"
COMPRESSED = frozenset({"gzip", "bzip2", "xz", "zstd"})
ARCHIVES = frozenset({"zip", "tar"})

_SUFFIXES = {
    "pdf": ".pdf",
    "word": ".docx .docm .dotx",
    "workbook": ".xlsx .xlsm .xltx .xlsb .xls",
    "slides": ".pptx .pptm .ppsx",
    "odt": ".odt .ott .fodt",
    "ods": ".ods .ots .fods",
    "odp": ".odp .otp .fodp",
    "epub": ".epub",
    "rtf": ".rtf",
    "html": ".html .htm",
    "mail": ".eml",
    "mailbox": ".mbox",
    "notebook": ".ipynb",
    "parquet": ".parquet",
    "zip": ".zip",
    "tar": ".tar",
    "gzip": ".gz .tgz",
    "bzip2": ".bz2 .tbz2",
    "xz": ".xz .txz",
    "zstd": ".zst .tzst",
}
SUFFIXES = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
"""The kinds that are read by converting them, by the endings of their names."""

_TAR_SUFFIXES = {".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_BINARY_SUFFIXES = frozenset(
    [
        ".7z",
        ".a",
        ".avi",
        ".bin",
        ".bmp",
        ".class",
        ".db",
        ".dll",
        ".doc",
        ".dylib",
        ".eot",
        ".exe",
        ".flac",
        ".gif",
        ".ico",
        ".jar",
        ".jpeg",
        ".jpg",
        ".lib",
        ".mkv",
        ".mo",
        ".mov",
        ".mp3",
        ".mp4",
        ".npy",
        ".npz",
        ".o",
        ".obj",
        ".ogg",
        ".otf",
        ".pickle",
        ".pkl",
        ".png",
        ".ppt",
        ".pyc",
        ".pyd",
        ".pyo",
        ".rar",
        ".so",
        ".sqlite",
        ".sqlite3",
        ".tif",
        ".tiff",
        ".ttf",
        ".wasm",
        ".wav",
        ".webm",
        ".webp",
        ".whl",
        ".woff",
        ".woff2",
    ]
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAGIC = (
    (b"{\\rtf", "rtf"),
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PAR1", "parquet"),
)
# Those with which a text could begin, too, count only if there is a NUL byte.
_PICTURE = "a picture; recognise its text first (OCR)"
_SOUND, _FILM = "a sound; transcribe it first", "a film; transcribe it first"
_KNOWN = (
    (b"\x89PNG", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"BM", _PICTURE),
    (b"II*\0", _PICTURE),
    (b"MM\0*", _PICTURE),
    (b"ID3", _SOUND),
    (b"OggS", _SOUND),
    (b"fLaC", _SOUND),
    (b"\xff\xfb", _SOUND),
    (b"\x1aE\xdf\xa3", _FILM),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\0asm", "a program"),
    (b"SQLite format 3\0", "a database of SQLite; export its tables as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"wOFF", "a font"),
    (b"wOF2", "a font"),
    (b"OTTO", "a font"),
    (b"\0\1\0\0", "a font or a database"),
    (b"\x89HDF", "an HDF5 file; export its tables as CSV"),
    (b"\x93NUMPY", "an array of NumPy; export it as CSV"),
    (b"\x80\x04\x95", "a Python pickle; export what is in it as JSON"),
    (b"\x80\x05\x95", "a Python pickle; export what is in it as JSON"),
)
_MAGIC_STARTS, _KNOWN_STARTS = tuple(magic for magic, _ in _MAGIC), tuple(magic for magic, _ in _KNOWN)
_OLE_SUFFIXES = {
    ".doc": "an old Word document; save it as .docx",
    ".ppt": "an old PowerPoint presentation; save it as .pptx",
    ".msg": "a message of Outlook; save it as .eml",
    ".db": "a database of Windows",
}
_LOCKED_SUFFIXES = frozenset([".docx", ".docm", ".xlsx", ".xlsm", ".xlsb", ".pptx", ".pptm"])
_MARKUP = (b"<!doctype html", b"<html", b"<table", b"<head", b"<meta")
# Control characters, except the usual ones, occur in binary files and not in text.
_CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1b")) + b"\x7f"
_FEW_BYTES = 64
_MOST_CONTROLS = 0.03


@dataclass(frozen=True, slots=True)
class FileKind:
    """The kind of a file.

    Attributes:
        name: `text`, `binary`, or a kind that is converted, such as `pdf`.
        label: For a binary file, a description with a remedy; empty if unknown.
    """

    name: str
    label: str = ""

    @property
    def is_converted(self) -> bool:
        """True if the file is read by converting it."""
        return self.name not in (TEXT, BINARY)


def file_kind(head: bytes, name: str) -> FileKind:
    """Return the kind of a file.

    Args:
        head: Its first bytes, up to `HEAD_BYTES`.
        name: Its name, of which the extension counts.
    """
    suffix = _suffix_of(name)
    by_name = SUFFIXES.get(suffix)
    if found := _by_content(head, suffix):
        same = found.name == "zip" and by_name is not None and by_name not in COMPRESSED
        return FileKind(by_name) if same and by_name is not None else found
    if by_name == "workbook" and head:
        return _misnamed(head)
    if by_name == "html" or by_name is None:
        return FileKind(by_name) if by_name and not _is_dense(head) else _plain(head)
    return FileKind(by_name)


def _by_content(head: bytes, suffix: str) -> FileKind | None:
    if head.startswith(_OLE):
        return _ole(suffix)
    if b"%PDF-" in head[:1024] and (suffix == ".pdf" or head.lstrip().startswith(b"%PDF-")):
        return FileKind("pdf")
    if head.startswith(_MAGIC_STARTS):
        return FileKind(next(kind for magic, kind in _MAGIC if head.startswith(magic)))
    if head[257:262] == b"ustar":
        return FileKind("tar")
    if head[4:8] == b"ftyp":
        return FileKind(BINARY, _FILM)
    if head.startswith(b"RIFF") and head[8:12] in (b"WAVE", b"AVI ", b"WEBP"):
        return FileKind(BINARY, {b"WAVE": _SOUND, b"AVI ": _FILM}.get(head[8:12], _PICTURE))
    if not head.startswith(_KNOWN_STARTS):
        return None
    has_nul = b"\0" in head
    for magic, label in _KNOWN:
        if head.startswith(magic) and (has_nul or not magic.isascii()):
            return FileKind(BINARY, label)
    return None


def _ole(suffix: str) -> FileKind:
    if suffix in _LOCKED_SUFFIXES:
        return FileKind(BINARY, "locked by a password; save it without one")
    if suffix in _OLE_SUFFIXES:
        return FileKind(BINARY, _OLE_SUFFIXES[suffix])
    return FileKind("workbook")


def _misnamed(head: bytes) -> FileKind:
    """Return the kind of a file with a workbook's extension that is no workbook: a page, or a table as text."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        return FileKind("html")
    return _plain(head) if not _is_dense(head) and b"\0" not in head else FileKind("workbook")


def _plain(head: bytes) -> FileKind:
    return FileKind(BINARY) if _is_dense(head) else FileKind(TEXT)


def _is_dense(head: bytes) -> bool:
    """Return whether bytes contain more control characters than a text would."""
    if len(head) < _FEW_BYTES or len(head) - len(head.translate(None, _CONTROLS)) <= _MOST_CONTROLS * len(head):
        return False
    return _presumed(head) == "utf-8"


def has_nul(head: bytes) -> bool:
    """Return whether bytes that are not UTF-16 or UTF-32 contain a NUL, which does not occur in text."""
    return b"\0" in head and _presumed(head) == "utf-8"


def _suffix_of(name: str) -> str:
    """Return the extension of a name in lower case, as a `PurePath` has it, which takes longer than the file's read."""
    own = name.rpartition("/")[2]
    return own[dot:].lower() if 0 < (dot := own.rfind(".")) < len(own) - 1 else ""


def is_called_binary(name: str) -> bool:
    """Return whether a file's extension is that of files which are not text and cannot be converted."""
    return _suffix_of(name) in _BINARY_SUFFIXES


def without_compression(name: str) -> str:
    """Return the name of a compressed file once it is unpacked, such as `a.tar` for `a.tgz`."""
    path = PurePath(name)
    suffix = path.suffix.lower()
    if SUFFIXES.get(suffix) not in COMPRESSED:
        return name
    return str(path.with_suffix(_TAR_SUFFIXES.get(suffix, ""))) if path.stem else name


def _presumed(head: bytes) -> str:
    """Return the encoding that is presumed for a text with this beginning."""
    from rlmbox.context.load.encodings import presumed  # late: the converter's process seldom needs it

    return presumed(head)[0]
