"""The configuration of a container of `DockerSandbox`: the body of the engine's request to create it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlmbox.sandboxes.docker import _relay
from rlmbox.sandboxes.worker import _worker

TMP_FILES = 4096
"""Files and folders in a container's /tmp, but with Podman: an empty one takes kernel memory too."""

CONTEXT_PATH = "/context"
"""Where the context's file is in a container."""

TMP_BYTES = 64 * 1024 * 1024
"""Size of /tmp, and of the longest file."""

MEMORY_BYTES = 512 * 1024 * 1024
"""Least memory of a container, without swap."""

PROCESSES = 50
"""Processes and threads of a container, the two of rlmbox included."""

GVISOR_THREADS = 206
"""Threads of gVisor's own kernel, which is a process of the container's cgroup, beyond those."""

_OPEN_FILES = 256
_WORKER_BYTES = 96 * 1024 * 1024
# Paths that reveal the host and its kernel; engines mask some by default, and this list replaces theirs.
_MASKED = (
    *(f"/proc/{name}" for name in ("acpi", "asound", "cmdline", "config.gz", "diskstats", "interrupts", "iomem")),
    *(f"/proc/{name}" for name in ("ioports", "kallsyms", "kcore", "keys", "key-users", "latency_stats", "modules")),
    *(f"/proc/{name}" for name in ("partitions", "sched_debug", "scsi", "softirqs", "swaps", "timer_list")),
    *(f"/proc/{name}" for name in ("timer_stats", "version", "vmallocinfo", "zoneinfo")),
    *(f"/sys/{name}" for name in ("block", "bus", "class", "dev", "devices", "firmware", "hypervisor", "kernel")),
    *(f"/sys/{name}" for name in ("module", "power")),
)
_READ_ONLY = tuple(f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"))


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """The settings that differ from container to container.

    Attributes:
        image: The image's name.
        runtime: Name of the engine's runtime, such as `runsc`; None for the engine's default.
        uid: User and group id in the container.
        memory_bytes: See `container_memory_bytes`.
        processes: Limit on processes and threads, as the host's kernel counts them.
        mounts: Files on the engine's machine to mount, by target: `CONTEXT_PATH`.
        seccomp: The seccomp profile, or its path; see `seccomp_profile`.
        labels: Labels by which the container is found again.
        is_podman: Whether the engine is Podman, which cannot limit a tmpfs's files and masks paths by another option.
    """

    image: str
    runtime: str | None
    uid: int
    memory_bytes: int
    processes: int
    mounts: Mapping[str, str]
    seccomp: str
    labels: Mapping[str, str]
    is_podman: bool = False


def container_memory_bytes(cell_memory_bytes: int, text_bytes: int) -> int:
    """Return the memory that a container needs so that a cell can use `cell_memory_bytes`.

    Args:
        cell_memory_bytes: `CellLimits.memory_bytes`.
        text_bytes: Size in UTF-8 of a context that is a `str` there, which takes up to four bytes per character in
            addition to the bytes it is decoded from; 0 for a longer one, which is mapped and can be evicted.
    """
    return max(MEMORY_BYTES, cell_memory_bytes + 5 * text_bytes + TMP_BYTES + _WORKER_BYTES)


def seccomp_profile(*, as_path: bool = False, for_gvisor: bool = False) -> str:
    """Return the seccomp profile, in the form that the engine accepts.

    Args:
        as_path: Whether it needs the path of a file, as Podman does.
        for_gvisor: Whether gVisor is to apply it. gVisor would reject `clone3` with an error after which the C library
            starts no thread, so `clone3` is passed on to gVisor's own kernel, which lacks it or is a wall itself.
    """
    path = Path(__file__).with_name("_seccomp.json")
    if as_path:
        return str(path)
    profile = json.loads(path.read_text("ascii"))
    if for_gvisor:
        profile["syscalls"].append({"names": ["clone3"], "action": "SCMP_ACT_ALLOW"})
        for rule in profile["syscalls"]:
            if rule["action"] == "SCMP_ACT_ERRNO":
                rule["names"].remove("clone3")
    return json.dumps(profile)


def container_config(plan: ContainerPlan) -> dict[str, Any]:
    """Return the body of the request that creates a container."""
    relay, worker = inspect.getsource(_relay), inspect.getsource(_worker)
    return {
        "Image": plan.image,
        "Entrypoint": ["python3", "-I", "-S", "-X", "utf8", "-c", relay, worker],
        "Cmd": [],
        "Env": [],
        "User": f"{plan.uid}:{plan.uid}",
        "WorkingDir": "/tmp",  # noqa: S108 - the container's own
        "Hostname": "sandbox",
        "NetworkDisabled": True,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(plan.labels),
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,  # its input ends with our connection, whereupon the relay ends the container
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(plan),
    }


def _host_config(plan: ContainerPlan) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "IpcMode": "none",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": _tmpfs_options(plan)},  # noqa: S108 - the container's own
        "CapDrop": ["ALL"],
        "Privileged": False,
        "MaskedPaths": list(_MASKED),
        "ReadonlyPaths": list(_READ_ONLY),
        "SecurityOpt": ["no-new-privileges", f"seccomp={plan.seccomp}", *_podmans_own(plan)],
        "Memory": plan.memory_bytes,
        "MemorySwap": plan.memory_bytes,  # memory and swap together, so no swap
        "NanoCpus": 1_000_000_000,
        "PidsLimit": plan.processes,
        "OomScoreAdj": 500,
        "Ulimits": [
            {"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES},
            # The kernel counts these by user, so this is no security boundary; Podman would exceed its own limit.
            {"Name": "nproc", "Soft": 1024, "Hard": 1024},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": TMP_BYTES, "Hard": TMP_BYTES},
            {"Name": "memlock", "Soft": 0, "Hard": 0},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},
        ],
        "Init": False,  # the relay is process 1, and reaps children
        "LogConfig": {"Type": "none", "Config": {}},  # or all that passes the wire would be logged to disk
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # its exit state is queried first; see `_engine.py`
    }
    if plan.runtime is not None:
        config["Runtime"] = plan.runtime
    if plan.mounts:
        shared = {"Type": "bind", "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}}
        config["Mounts"] = [{**shared, "Source": source, "Target": target} for target, source in plan.mounts.items()]
    return config


def _podmans_own(plan: ContainerPlan) -> list[str]:
    # Podman silently ignores `MaskedPaths`.
    return [f"mask={':'.join(_MASKED)}"] if plan.is_podman else []


def _tmpfs_options(plan: ContainerPlan) -> str:
    options = f"rw,noexec,nosuid,nodev,size={TMP_BYTES},mode=1777"
    return options if plan.is_podman else f"{options},nr_inodes={TMP_FILES}"
