"""The folder of an index: complete generations, one of which is current, and the next one while it is being built.

corpus.idx/
    current                 name of the generation that readers open, replaced by a rename
    generation-000002/      words/, documents.jsonl, vectors.bin, manifest.json: never changed once it has this name
    building/               the next generation, as far as it has been built
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlmbox.errors import RetrievalError

FORMAT = 1
WORDS, VECTORS, DOCUMENTS, MANIFEST, BUILDING, CURRENT, BASE = (
    "words", "vectors.bin", "documents.jsonl", "manifest.json", "building", "current", "base"
)  # fmt: skip
_GENERATION = "generation-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of a generation.

    Attributes:
        documents: Number of non-empty documents.
        passages: Number of passages, the units that are ranked.
        chars: Total length of all documents in characters.
        embedder: Name of the model that computed the vectors; None for an index without vectors.
        dimensions: Dimension of the vectors; 0 without any.
        vectors: Number of vectors in the file.
        format: Version of the format.
    """

    documents: int
    passages: int
    chars: int
    embedder: str | None = None
    dimensions: int = 0
    vectors: int = 0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Entry:
    """A document in an index.

    Attributes:
        id: Its name.
        digest: A digest of its text.
        chars: Its length in characters.
        passages: Number of its passages.
    """

    id: str
    digest: str
    chars: int
    passages: int


class Layout:
    """The paths in the folder of an index.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.building = self.folder / BUILDING

    def current(self) -> str | None:
        """Return the name of the generation that readers open; None if there is none yet.

        Raises:
            RetrievalError: The folder is not an index.
        """
        try:
            name = (self.folder / CURRENT).read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise RetrievalError(f"{self.folder} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not name.startswith(_GENERATION) or "/" in name or os.sep in name:
            raise RetrievalError(
                f"{self.folder} is not an index of rlmbox, or is damaged; build one in a new folder: "
                "rlmbox index build FOLDER --out PATH"
            )
        return name

    def broken(self) -> RetrievalError:
        """Return the error for an index with a missing or damaged part."""
        return RetrievalError(f"{self.folder} is broken; delete it, and rebuild it")

    def manifest(self, generation: str) -> Manifest:
        """Return the manifest of a generation.

        Raises:
            RetrievalError: It is damaged, or of another version.
        """
        path = self.folder / generation / MANIFEST
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            version = int(found["format"])
            if version > FORMAT:
                raise RetrievalError(
                    f"{self.folder} has format {version}, which a later version of rlmbox wrote; this one reads up to "
                    f"{FORMAT}: pip install -U rlmbox"
                )
            return Manifest(**found)
        except (OSError, ValueError, TypeError, LookupError):
            raise self.broken() from None

    def whole(self, generation: str) -> Manifest:
        """Return the manifest of a generation from which a build is to start.

        Raises:
            RetrievalError: A part of it is missing, or it is of a later version.
        """
        manifest, folder = self.manifest(generation), self.folder / generation
        listed = len(read_entries(folder / DOCUMENTS))
        if listed != manifest.documents or not (folder / WORDS / "meta.json").exists():
            raise self.broken()
        return manifest

    def following(self, generation: str | None) -> str:
        """Return the name of the next generation."""
        number = int(generation.removeprefix(_GENERATION)) if generation else 0
        return f"{_GENERATION}{number + 1:06d}"

    def make_current(self, generation: str) -> None:
        """Make a generation the one that readers open."""
        fresh = self.folder / f"{CURRENT}.new"
        write_durably(fresh, [generation + "\n"])
        fresh.replace(self.folder / CURRENT)
        sync_folder(self.folder)

    def superseded(self, *kept: str | None) -> list[Path]:
        """Return the folders of generations that are no longer used."""
        return [each for each in self.folder.glob(f"{_GENERATION}*") if each.name not in kept]


def read_entries(path: Path) -> dict[str, Entry]:
    """Read the documents of a generation, or of one being built, whose last line may be truncated.

    Args:
        path: The file.
    """
    found: dict[str, Entry] = {}
    for line in _lines(path):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "digest" in entry:
            with suppress(TypeError, KeyError):  # a damaged line is detected by the count
                found[entry["id"]] = Entry(**entry)
        elif isinstance(entry, dict):
            found.pop(entry.get("id", ""), None)
    return found


def entry_line(entry: Entry) -> str:
    """Return the line of a document."""
    fields = {"id": entry.id, "digest": entry.digest, "chars": entry.chars, "passages": entry.passages}
    return json.dumps(fields) + "\n"  # `asdict` would take longer than everything else for a short document


def removal_line(name: str) -> str:
    """Return the line that marks a document as removed."""
    return json.dumps({"id": name}) + "\n"


def manifest_line(manifest: Manifest) -> str:
    """Return a manifest as text."""
    fields: Mapping[str, object] = asdict(manifest)
    return json.dumps(fields, indent=1) + "\n"


def write_durably(path: Path, lines: Iterable[str], mode: str = "w") -> None:
    """Write lines to a file and sync it, so that they survive a power failure.

    Args:
        path: The file.
        lines: The lines.
        mode: `w` for a new file, `a` to append.
    """
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder, if the system supports that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
