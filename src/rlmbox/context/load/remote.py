"""Remote texts, such as `https://` and `s3://`, copied to files of a local cache.

Only addresses named by the user are fetched. Nothing that a model writes reaches this module: no function of the
sandbox takes a path or an address.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from rlmbox.context.load.private_network import LeadsInside
from rlmbox.context.storage.caching import cache_folder, remove, trim
from rlmbox.errors import ContextError

MAX_BYTES = 16 * 1024**3
CACHE_BYTES = 32 * 1024**3
TIMEOUT_S = 3_600.0
REMEDY = "pip install 'rlmbox[remote]'"

# Text compresses to a tenth or a fiftieth; anything that expands much more was made to fill a disk.
_MAX_PACKING, _ALWAYS_UNPACKED_BYTES = 200, 16 * 1024**2
_PIECE_BYTES = 4 * 1024 * 1024
_NAME_CHARS = 100
_WEB = ("http", "https")
# Only schemes of other machines: fsspec also supports local files, archives and caches.
SCHEMES = frozenset(
    {*_WEB, "abfs", "abfss", "adl", "az", "ftp", "gcs", "gs", "hdfs", "hf", "oci", "oss", "s3", "s3a", "sftp", "ssh"}
    | {"webdav", "webhdfs"}
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SUFFIXES = {"text/html": ".html", "application/pdf": ".pdf", "application/json": ".json", "text/csv": ".csv"}
_VERSION_KEYS = ("ETag", "etag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "mtime", "updated", "sha")


def is_remote(name: str) -> bool:
    """Return whether a name is a remote address, such as `https://…`, and not a path.

    Args:
        name: The name given by the user.
    """
    return _SCHEME.match(name) is not None


def fetch(url: str, *, max_bytes: int = MAX_BYTES, timeout_s: float = TIMEOUT_S) -> Path:
    """Return a local copy of a remote file, fetched only if it has changed.

    The copy has the file's name, so that its extension identifies its kind. A file whose server reports no version is
    fetched each time. Credentials are those that the package for the scheme finds by itself.

    Args:
        url: The address; its scheme must be in `SCHEMES`.
        max_bytes: Size limit.
        timeout_s: Time limit in seconds.

    Raises:
        ContextError: The scheme is not supported, its package is not installed, or the file does not exist, cannot be
            fetched, is too long or takes too long. Messages show the address without credentials and parameters.
    """
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if scheme not in SCHEMES:
        known = ", ".join(sorted(SCHEMES))
        raise ContextError(f"{shown(url)}: the scheme must be one of {known}; give a path for a local file")
    deadline = time.monotonic() + timeout_s
    with _named_errors(url), _file_system(scheme, url) as (files, place):
        info = files.info(place)
        if info.get("type") == "directory":
            raise ContextError(f"{shown(url)}: is a folder; give the address of a file")
        size = info.get("size")
        if isinstance(size, int) and size > max_bytes:
            raise _too_long(url, max_bytes)
        target = _target(url, info)
        if target.exists() and _version(info):
            os.utime(target.parent.parent)
            return target
        with files.open(place, "rb", **({"block_size": 0} if scheme in _WEB else {})) as source:
            _copy(url, _decoded(url, source), target, max_bytes, deadline)
    _forget_others(target)
    trim(cache_folder("remote"), CACHE_BYTES, keep=target.parent.parent)
    return target


def shown(url: str) -> str:
    """Return an address for display: without user, password, parameters and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "the address"
    text = f"{parts.scheme}://{host}{parts.path}"[:300]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _too_long(url: str, max_bytes: int) -> ContextError:
    return ContextError(f"{shown(url)}: has more than {max_bytes / 1024**2:,.0f} MiB; fetch a part of it yourself")


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """Turn every failure into a one-line error with only its type, because messages of packages may contain keys."""
    try:
        yield
    except ContextError:
        raise
    except ImportError as error:
        scheme = urlsplit(url).scheme
        said = str(error).splitlines()[0][:200] if error.name is None else f"{error.name} is missing"
        raise ContextError(f"{shown(url)}: {scheme} needs other packages: {REMEDY} ({said})") from None
    except Exception as error:  # noqa: BLE001 - each scheme's package raises its own errors
        # The package for HTTP calls every failure "not found", with the real one as its cause.
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
        if isinstance(cause, LeadsInside):
            raise ContextError(f"{shown(url)}: {cause}") from None
        raise ContextError(f"{shown(url)}: cannot be fetched ({_reason(cause)}); {_remedy(cause)}") from None


def _reason(error: BaseException) -> str:
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return "not found"
    if isinstance(status, int):
        return f"status {status}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return type(error).__name__


def _remedy(error: BaseException) -> str:
    if getattr(error, "status", None) in (401, 403) or isinstance(error, PermissionError):
        return "check that your account may read it"
    return "check the address and the network, and try again"


@contextmanager
def _file_system(scheme: str, url: str) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a scheme and the path in it; chains such as `zip://…::…` are refused."""
    import fsspec  # type: ignore[import-untyped, unused-ignore]
    import fsspec.asyn  # type: ignore[import-untyped, unused-ignore]

    if scheme not in _WEB:
        if "::" in url:
            raise ContextError(f"{shown(url)}: has `::`, which joins addresses; give one address")
        yield fsspec.core.url_to_fs(url, skip_instance_cache=True)
        return
    from rlmbox.context.load import web

    files = fsspec.filesystem(
        "http", skip_instance_cache=True, use_listings_cache=False, get_client=web.client, client_kwargs={"url": url}
    )
    session = fsspec.asyn.sync(files.loop, files.set_session)
    try:
        yield files, url
    finally:
        files.close_session(files.loop, session)


def _version(info: Mapping[str, Any]) -> str:
    return "|".join(f"{key}={info[key]}" for key in _VERSION_KEYS if info.get(key))


def _target(url: str, info: Mapping[str, Any]) -> Path:
    """Return the path of a copy: a folder for the address, one for the version, and the file's own name."""
    name = unquote(urlsplit(url).path).rpartition("/")[2][-_NAME_CHARS:]
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).lstrip(".") or "page"
    if not Path(name).suffix:
        name += _SUFFIXES.get(str(info.get("mimetype")), "")
    version = f"{_version(info)}|{info.get('size')}"
    folder = cache_folder("remote") / hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:32]
    return folder / hashlib.sha256(version.encode("utf-8", "replace")).hexdigest()[:16] / name


def _decoded(url: str, source: IO[bytes]) -> Iterator[bytes]:
    """Yield the content in pieces, decompressed if the server compressed it although it was asked not to."""
    pieces = iter(partial(source.read, _PIECE_BYTES), b"")
    answer = getattr(source, "r", None)
    packing = answer.headers.get("Content-Encoding", "identity").strip().lower() if answer is not None else "identity"
    if packing in ("", "identity"):
        return pieces
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise ContextError(f"{shown(url)}: uses an unsupported content encoding; download it yourself")
    return _unpacked(url, pieces)


def _unpacked(url: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    packed = unpacked = 0
    for piece in pieces:
        packed += len(piece)
        while piece:
            out = unpacking.decompress(piece, _PIECE_BYTES)
            piece = unpacking.unconsumed_tail
            unpacked += len(out)
            if unpacked > max(_ALWAYS_UNPACKED_BYTES, _MAX_PACKING * packed):
                raise ContextError(
                    f"{shown(url)}: unpacks to more than {_MAX_PACKING} times its size; download it yourself"
                )
            if out:
                yield out
    yield unpacking.flush()


def _copy(url: str, source: Iterator[bytes], target: Path, max_bytes: int, deadline: float) -> None:
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(0o700, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=".part-", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.writelines(_pieces(url, source, max_bytes, deadline))
        Path(part).replace(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _pieces(url: str, source: Iterator[bytes], max_bytes: int, deadline: float) -> Iterator[bytes]:
    size = 0
    for piece in source:
        size += len(piece)
        if size > max_bytes:
            raise _too_long(url, max_bytes)
        if time.monotonic() > deadline:
            raise ContextError(f"{shown(url)}: takes too long to download; download it yourself and pass the file")
        yield piece


def _forget_others(target: Path) -> None:
    """Remove earlier copies from the same address."""
    for folder in target.parent.parent.iterdir():
        if folder != target.parent:
            remove(folder)
