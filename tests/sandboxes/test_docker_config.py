"""What a container is told to be, before there is any."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.sandboxes.docker import _engine as engine
from rlmbox.sandboxes.docker._config import (
    CONTEXT_PATH,
    MEMORY_BYTES,
    TMP_BYTES,
    TMP_FILES,
    ContainerPlan,
    container_config,
    container_memory_bytes,
    seccomp_profile,
)

PLAN = ContainerPlan(
    "image:tag", "runsc", 12_345, MEMORY_BYTES, 50, {CONTEXT_PATH: "/private/context"}, "{}", {"a": "b"}
)


def test_a_container_is_allowed_nothing_that_it_does_not_need() -> None:
    body = container_config(PLAN)
    host = body["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "none"
    assert host["CgroupnsMode"] == "private"
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert "CapAdd" not in host
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 512 * 1024**2
    assert host["PidsLimit"] == 50
    assert host["NanoCpus"] == 1_000_000_000
    assert host["Init"] is False
    assert host["Runtime"] == "runsc"
    assert host["LogConfig"]["Type"] == "none"
    assert list(host["Tmpfs"]) == ["/tmp"]
    options = {"noexec", "nosuid", "nodev", f"size={TMP_BYTES}", f"nr_inodes={TMP_FILES}"}
    assert options <= set(host["Tmpfs"]["/tmp"].split(","))
    ulimits = {one["Name"]: (one["Soft"], one["Hard"]) for one in host["Ulimits"]}
    assert ulimits["core"] == (0, 0)
    assert ulimits["fsize"] == (TMP_BYTES, TMP_BYTES)
    assert ulimits["nofile"] == (256, 256)
    (mount,) = host["Mounts"]
    assert (mount["Type"], mount["Source"], mount["ReadOnly"]) == ("bind", "/private/context", True)
    assert body["User"] == "12345:12345"
    assert body["Env"] == []
    assert body["Labels"] == {"a": "b"}
    assert not {"Binds", "Devices", "PortBindings", "VolumesFrom", "ExtraHosts"} & set(host)


def test_podman_is_told_in_its_own_words_what_to_hide_and_nothing_that_it_does_not_know() -> None:
    docker, podman = (container_config(replace(PLAN, is_podman=one))["HostConfig"] for one in (False, True))
    hidden = next(option for option in podman["SecurityOpt"] if option.startswith("mask="))
    assert set(hidden.removeprefix("mask=").split(":")) == set(docker["MaskedPaths"])
    assert not any(option.startswith("mask=") for option in docker["SecurityOpt"])
    assert "nr_inodes" not in podman["Tmpfs"]["/tmp"]


def test_a_container_without_a_context_mounts_nothing_and_the_default_runtime_is_not_named() -> None:
    host = container_config(replace(PLAN, mounts={}, runtime=None))["HostConfig"]
    assert "Mounts" not in host
    assert "Runtime" not in host


REFUSED = """
acct add_key bpf chroot clone3 execveat fanotify_init init_module io_uring_setup ioperm iopl kexec_load keyctl
memfd_create mknod mount name_to_handle_at open_by_handle_at perf_event_open personality pivot_root process_vm_readv
process_vm_writev ptrace quotactl reboot request_key setns swapon syslog umount2 unshare userfaultfd vmsplice
"""


@pytest.mark.parametrize("name", REFUSED.split())
def test_system_calls_that_open_kernels_are_not_let_through(name: str) -> None:
    profile = json.loads(seccomp_profile())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {one for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for one in rule["names"]}
    assert name not in allowed
    assert "read" in allowed


def test_the_list_for_gvisor_differs_in_what_threads_need_only() -> None:
    plain, other = json.loads(seccomp_profile()), json.loads(seccomp_profile(for_gvisor=True))
    assert other["syscalls"].pop() == {"names": ["clone3"], "action": "SCMP_ACT_ALLOW"}
    for rule in plain["syscalls"]:
        if rule["action"] == "SCMP_ACT_ERRNO":
            rule["names"].remove("clone3")
    assert plain == other
    assert json.loads(Path(seccomp_profile(as_path=True)).read_text()) == json.loads(seccomp_profile())


def test_arguments_decide_where_a_system_call_is_needed_and_dangerous() -> None:
    rules = [rule for rule in json.loads(seccomp_profile())["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    for name in ("clone", "ioctl", "prctl", "socket", "socketpair"):
        assert all(rule.get("args") for rule in rules if name in rule["names"])
    (clone,) = (rule["args"][0] for rule in rules if "clone" in rule["names"])
    namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    assert (clone["op"], clone["value"], clone["valueTwo"]) == ("SCMP_CMP_MASKED_EQ", namespaces, 0)
    assert [rule["args"][0]["value"] for rule in rules if "socket" in rule["names"]] == [1]  # AF_UNIX


@given(st.integers(0, 2**36), st.integers(0, 2**36))
def test_the_containers_memory_has_room_for_a_cells_and_the_text(cell_bytes: int, text_bytes: int) -> None:
    memory = container_memory_bytes(cell_bytes, text_bytes)
    assert memory >= max(MEMORY_BYTES, cell_bytes + TMP_BYTES + 5 * text_bytes)  # a `str`, and what it is made of
    assert memory <= cell_bytes + 5 * text_bytes + 1_000_000_000


@pytest.mark.parametrize(
    ("words", "state", "how", "for_memory"),
    [
        ("signal 9 oom", {"ExitCode": 137, "OOMKilled": True}, "signal 9", True),
        ("signal 9 oom", {"ExitCode": 137, "OOMKilled": False}, "signal 9", True),
        ("signal 9 oom", {}, "signal 9", True),
        ("signal 9", {"ExitCode": 137, "OOMKilled": True}, "signal 9", True),
        ("signal 9", {"ExitCode": 137, "OOMKilled": False}, "signal 9", False),
        ("", {"ExitCode": 137, "OOMKilled": True}, "exit status 137", True),
        ("", {"ExitCode": 137, "OOMKilled": False}, "exit status 137", True),
        ("", {"ExitCode": 2, "OOMKilled": False}, "exit status 2", False),
        ("exit status 3 oom", {"ExitCode": 3, "OOMKilled": True}, "exit status 3", False),
        ("signal 11", {"ExitCode": 139, "OOMKilled": False}, "signal 11", False),
        ("", {}, "the engine does not say how", False),
    ],
)
def test_memory_is_recognised_with_and_without_the_engines_flag(
    words: str, state: dict[str, Any], how: str, for_memory: bool
) -> None:
    assert engine.ContainerExit.of(words, state) == engine.ContainerExit(how, for_memory)


def test_in_gvisor_a_killed_process_1_is_told_as_memory_only_where_the_engine_says_so() -> None:
    of = partial(engine.ContainerExit.of, "", in_gvisor=True)
    assert of({"ExitCode": 137, "OOMKilled": True}) == engine.ContainerExit("exit status 137", for_memory=True)
    killed = of({"ExitCode": 137, "OOMKilled": False})
    assert not killed.for_memory
    assert killed.how == "exit status 137: a cell killed the container's process 1, or its memory ran out"


@pytest.mark.parametrize(
    ("wanted", "found", "chosen", "warns"),
    [
        (None, engine.Survey(("runc", "runsc"), "runc"), "runsc", None),
        (None, engine.Survey(("runc",), "runc"), "runc", "gVisor is a stronger wall"),
        (None, engine.Survey((), "runsc"), "runsc", None),
        ("runc", engine.Survey(("runc", "runsc"), "runc"), "runc", "shares the host's kernel"),
        (None, engine.Survey(("runsc",), "runsc", ("swap",)), "runsc", "cannot limit swap"),
    ],
)
def test_the_strongest_runtime_is_chosen_and_a_weaker_one_warned_of(
    wanted: str | None, found: engine.Survey, chosen: str, warns: str | None
) -> None:
    assert found.runtime(wanted) == chosen
    warning = found.warning(chosen)
    assert (warning is None) if warns is None else (warns in str(warning))
