"""Builds the jail's root and starts the fork server in it: the jail's first process, launched by `_host.py`.

Runs in the host's interpreter with an empty environment, and finally executes the interpreter inside. Standard library
only, and little of it: each import delays the first jail.
"""

from __future__ import annotations

import marshal
import os
import sys

from rlmbox.sandboxes.jail._channel import CODE_FOLDER, INSIDE_ID, PROC_FD, bootstrap
from rlmbox.sandboxes.kernel import _calls as kernel

HASH_SEED = "1"  # as in `worker/_worker.py`, which would take milliseconds to import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_LAST_USER = 65534
# User ids that nobody has: above those of systemd's containers and of anything that adduser assigns.
_UNUSED_USER = 1_903_560_000
_TRIES = ("/tmp", "/mnt", "/var")  # noqa: S108 - only as a place to mount something


def main() -> NoReturn:
    """Enter namespaces, read the plan from a descriptor, build the root and enter it."""
    control, plan_fd = (int(word) for word in sys.argv[1:])
    try:
        _enter(control, plan_fd)
    except OSError as error:
        sys.stderr.write(f"{error.strerror if error.strerror and ':' in error.strerror else error}\n")
    os._exit(1)


def _enter(control: int, plan_fd: int) -> None:
    os.umask(0o022)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    user, group = os.geteuid(), os.getegid()
    privileged = user == 0 and _try_unshare()
    if user == 0 and not privileged:
        _drop_user()
        user, group = os.geteuid(), os.getegid()
    if not privileged:
        kernel.unshare(kernel.NEW_USER | kernel.NEW_MOUNTS, "a user namespace")
        kernel.map_ids(proc, INSIDE_ID, user, group)
    kernel.make_mounts_private()
    with open(plan_fd, "rb") as file:
        written = file.read()
    if not written:  # the host has no plan
        os._exit(1)
    plan = marshal.loads(written)  # noqa: S302 - written by the host
    _build(plan)
    if privileged:
        _drop_user()
    kernel.leave_keyrings()
    kernel.forbid_new_privileges()
    if control == PROC_FD:  # the host has passed it under this very number
        control = os.dup(control)
    os.dup2(proc, PROC_FD, inheritable=True)
    os.set_inheritable(control, True)
    python = plan["interpreter"]
    code = bootstrap(CODE_FOLDER, "_fork_server")
    os.execve(  # noqa: S606 - no shell is involved
        python,
        [python, "-s", "-P", "-S", "-X", "utf8", "-c", code, str(control), str(plan["spares"])],
        {"PYTHONHASHSEED": HASH_SEED},
    )


def _try_unshare() -> bool:
    """Enter a mount namespace with root's privileges, which do not suffice in some containers."""
    try:
        kernel.unshare(kernel.NEW_MOUNTS, "a mount namespace")
    except OSError:
        return False
    return True


def _drop_user() -> None:
    """Switch from root to a user that owns nothing on this machine."""
    os.setgroups([])
    for number in (_UNUSED_USER + os.getpid() % 10_000, _LAST_USER):
        try:
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
        except OSError:  # this container does not have that user id
            continue
        return
    raise OSError(0, "stop being root: this container has no other user")


def _build(plan: dict[str, Any]) -> None:
    """Build the root as the plan lists it, and enter it."""
    # Opened before the new root hides any of them.
    sources = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source, _ in plan["binds"]]
    root = next((folder for folder in _TRIES if os.path.isdir(folder)), "/")  # noqa: PTH112 - pathlib costs 5 ms
    kernel.mount("tmpfs", root, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "size=32m,mode=755")
    for folder in ("tmp", "usr/bin", "usr/lib"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)  # noqa: PTH103
    for target, place in plan["links"]:
        os.symlink(target, root + place)  # noqa: PTH211
    for source, (_, place) in zip(sources, plan["binds"], strict=True):
        _prepare(root + place, folder=_is_folder(source))
        kernel.bind_read_only(f"/proc/self/fd/{source}", root + place)
        os.close(source)
    for place, content, modified_s in plan["files"]:
        _write(root + place, content, modified_s)
    for number, (place, content) in enumerate(plan["masks"]):
        _mask(root, number, place, content)
    os.chmod(root, 0o555)  # noqa: PTH101, S103 - readable by everyone, writable by nobody
    kernel.change_root(root)
    kernel.remount_read_only("/")


def _is_folder(fd: int) -> bool:
    return os.fstat(fd).st_mode & 0o170000 == 0o040000


def _prepare(path: str, *, folder: bool) -> None:
    """Create a mount point."""
    parent = path if folder else path.rpartition("/")[0]
    os.makedirs(parent, exist_ok=True)  # noqa: PTH103
    if not folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))


def _write(path: str, content: bytes, modified_s: int) -> None:
    os.makedirs(path.rpartition("/")[0], exist_ok=True)  # noqa: PTH103
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(content)
    os.utime(path, (modified_s, modified_s))


def _mask(root: str, number: int, place: str, content: bytes | None) -> None:
    """Cover a folder with an empty one, or a file with another content."""
    cover = f"{root}/usr/lib/.cover{number}"
    if content is None:
        os.mkdir(cover, 0o555)  # noqa: PTH102
    else:
        _write(cover, content, 0)
    kernel.bind_read_only(cover, root + place)
