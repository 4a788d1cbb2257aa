"""The image that `DockerSandbox` starts, made by `python -m rlmbox.sandboxes.docker.image`.

An image needs Python 3.11 or later as `python3`, and nothing of rlmbox. It can be built from the Dockerfile next to
this file, whose base image the engine may pull, or imported without any registry: from a directory with a root file
system, such as debootstrap makes, or from the Python that runs this.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from rlmbox.errors import RLMError, SandboxUnavailable
from rlmbox.sandboxes.docker._engine import DEFAULT_IMAGE, connect, explained

_NOT_NEEDED = frozenset(
    ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3")
)
_DIRECTORIES = ("tmp", "proc", "sys", "dev", "etc", "usr", "usr/bin", "usr/lib", "usr/local", "usr/local/bin")
# The default search paths of every loader lead to the one directory with all libraries.
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib", "usr/lib64": "lib"}
_ZONES = Path("/usr/share/zoneinfo")
_LIBRARY = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def build_image(*, base: str | None = None, tag: str = DEFAULT_IMAGE, engine_url: str | None = None) -> None:
    """Build the image from the Dockerfile.

    Args:
        base: The image to build on; None uses the Dockerfile's, which the engine may have to pull.
        tag: The image's name.
        engine_url: The engine's address; None searches for one.

    Raises:
        SandboxUnavailable: There is no engine, or it cannot build the image.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(Path(__file__).with_name("Dockerfile"), "Dockerfile")
    packed.seek(0)
    options = {"tag": tag, "buildargs": {"BASE": base} if base else {}, "network_mode": "none", "rm": True}
    with connect(engine_url) as client, explained("the image cannot be built"):
        for message in client.build(fileobj=packed, custom_context=True, decode=True, **options):
            if "error" in message:
                raise SandboxUnavailable(f"the image cannot be built: {message['error']}")


def import_root(directory: str | Path, *, tag: str = DEFAULT_IMAGE, engine_url: str | None = None) -> None:
    """Import a root file system that contains Python as the image; needs no registry.

    Args:
        directory: The root, as made by `debootstrap --variant=minbase --include=python3 bookworm DIRECTORY`.
        tag: The image's name.
        engine_url: The engine's address; None searches for one.

    Raises:
        SandboxUnavailable: There is no engine, or the directory cannot be read or has no Python.
    """
    root = Path(directory)
    if not any(os.path.lexists(root / where / "python3") for where in ("usr/bin", "usr/local/bin", "bin")):
        raise SandboxUnavailable(
            f"{root} has no python3 in usr/bin or usr/local/bin, so it cannot be the root of an image"
        )

    def pack(archive: tarfile.TarFile) -> None:
        archive.add(root, ".", filter=_harmless)

    _import(pack, tag, engine_url)


def import_host(*, tag: str = DEFAULT_IMAGE, engine_url: str | None = None) -> None:
    """Import the Python that runs this, its standard library and its shared libraries as the image; needs no registry.

    Installed packages are not included. The engine must run on the same kind of machine.

    Args:
        tag: The image's name.
        engine_url: The engine's address; None searches for one.

    Raises:
        SandboxUnavailable: There is no engine, or this is not Linux.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(
            "only a Python on Linux can be imported as an image; leave out --from-host to build one"
        )
    _import(_pack_host, tag, engine_url)


def _import(pack: Callable[[tarfile.TarFile], None], tag: str, engine_url: str | None) -> None:
    with connect(engine_url) as client, tempfile.TemporaryFile() as file:
        with explained("the image cannot be packed"), tarfile.open(fileobj=file, mode="w") as archive:
            pack(archive)
        file.seek(0)
        with explained("the image cannot be imported"):
            told = client.import_image_from_data(file, repository=tag)  # Podman does not accept a separate tag
        _check_import(told)


def _check_import(told: Any) -> None:
    """Raise if the engine reported an error, which it does after an initial status of success."""
    for line in str(told).splitlines():
        if line.startswith("{") and "error" in (message := json.loads(line)):
            raise SandboxUnavailable(f"the image cannot be imported: {message['error']}")


def _harmless(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Reset owners and setuid bits, and drop devices."""
    if entry.isdev():
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode &= 0o1777
    return entry


def _pack_host(archive: tarfile.TarFile) -> None:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    for name in _DIRECTORIES:
        _add_directory(archive, name, 0o1777 if name == "tmp" else 0o755)
    for name, target in _LINKS.items():
        _add_link(archive, name, target)
    archive.add(program, f"usr/local/bin/{version}", filter=_harmless)
    _add_link(archive, "usr/local/bin/python3", version)
    archive.add(library, f"usr/local/lib/{version}", filter=_needed)
    for path in _libraries([program, *library.glob("lib-dynload/*.so")]):
        archive.add(path.resolve(), f"usr/lib/{path.name}", filter=_harmless)
    if _ZONES.is_dir():
        archive.add(_ZONES, str(_ZONES).lstrip("/"), filter=_harmless)


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = entry.name.split("/")[4:]
    if _NOT_NEEDED.intersection(parts) or (parts and parts[0].startswith("config-")):
        return None
    if entry.name.endswith(".pyc") and not entry.name.endswith(f".{sys.implementation.cache_tag}.pyc"):
        return None
    return _harmless(entry)


def _libraries(programs: Iterable[Path]) -> list[Path]:
    """Return the shared libraries that programs need, including the loader."""
    found: dict[str, Path] = {}
    for program in programs:
        # A host's own files; `ldd` fails for a static program or a non-library, and then there is nothing to add.
        told = subprocess.run(  # noqa: S603 - see above
            [shutil.which("ldd") or "/usr/bin/ldd", str(program)], capture_output=True, text=True, check=False
        )
        for match in _LIBRARY.finditer(told.stdout):
            path = Path(match[1])
            found.setdefault(path.name, path)
    return list(found.values())


def _add_directory(archive: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    archive.addfile(entry)


def main(arguments: Sequence[str] | None = None, out: IO[str] | None = None) -> int:
    """Make the image according to the command line; return the exit status.

    Args:
        arguments: Without the program's name; None for those of this process.
        out: Where to write; None for standard output, and standard error for errors.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rlmbox.sandboxes.docker.image", description="Makes the image that DockerSandbox starts."
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from-host", action="store_true", help="import this Python; asks no registry")
    source.add_argument("--from-root", metavar="DIRECTORY", help="import a root file system; asks no registry")
    source.add_argument("--base", metavar="IMAGE", help="build on this image instead of the Dockerfile's")
    parser.add_argument("--tag", metavar="NAME", default=DEFAULT_IMAGE, help="name of the image (%(default)s)")
    parser.add_argument("--engine", metavar="URL", help="address of the engine, such as unix:///run/docker.sock")
    options = parser.parse_args(arguments)
    try:
        if options.from_host:
            import_host(tag=options.tag, engine_url=options.engine)
        elif options.from_root:
            import_root(options.from_root, tag=options.tag, engine_url=options.engine)
        else:
            build_image(base=options.base, tag=options.tag, engine_url=options.engine)
    except RLMError as error:
        (out or sys.stderr).write(f"{error}\n")
        return 1
    (out or sys.stdout).write(f"made the image {options.tag}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
