"""A PostgreSQL server of a test's own, in a folder of its own, reached by a socket; skipped where there is none."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


def programs() -> Path:
    """The folder of the server's programs, of one with pgvector if any has it; skips with the reason where none is."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'rlmbox[postgres]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    package = find_spec("pgserver")  # a server with pgvector in a wheel
    for place in package.submodule_search_locations or () if package is not None else ():
        found += Path(place).glob("pginstall/bin/initdb")
    found.sort(key=has_pgvector)
    path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if path is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    return Path(path).parent


def has_pgvector(initdb: Path) -> bool:
    """Whether the server of a program has pgvector's files, in the places of Debian and of a tree of its own."""
    root = initdb.parent.parent
    shares = (Path("/usr/share/postgresql") / root.name, root / "share" / "postgresql", root / "share")
    return any((share / "extension" / "vector.control").exists() for share in shares)


@contextmanager
def server() -> Iterator[str]:
    """Runs a server; yields the address of a new database."""
    binaries = programs()
    user: dict[str, object] = {}
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("the server does not run as root, and there is no user postgres")
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(folder, account.pw_uid, account.pw_gid)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env={"LC_ALL": "C.UTF-8"}, **user)  # type: ignore[call-overload]

    data = str(folder / "data")
    try:
        run(str(binaries / "initdb"), "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=64MB"
        run(str(binaries / "pg_ctl"), "-D", data, "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://owner@/postgres?host={folder}"
        finally:
            run(str(binaries / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
