"""Why py-spy could not look into a process, and what to set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clusterctl.spelling import visible

REFUSED = ("ermission", "not permitted", "EPERM", "EACCES")
# admin-guide/LSM/Yama.rst of the kernel
YAMA = {
    "1": "kernel.yama.ptrace_scope is 1: only parents may look into a process; "
    "be root there (become), or `sysctl kernel.yama.ptrace_scope=0` while you look",
    "2": "kernel.yama.ptrace_scope is 2: be root there (become)",
    "3": "kernel.yama.ptrace_scope is 3: nobody may, until the node starts with another value",
}
NO_SPY = "py-spy is not on the node"
NO_PYTHON = ("Failed to find python version", "Failed to get process executable", "python interp")


@dataclass(frozen=True, slots=True)
class Spying:
    """What of the node decides whether py-spy may look.  `came`: from where it is, or why not."""

    machine: str = ""
    spy: bool = False
    came: str = ""
    uid: int | None = None
    capable: bool = False
    yama: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Spying:
        words = {key: str(told.get(key, ""))[:100] for key in ("machine", "came", "yama")}
        uid = told.get("uid")
        return cls(
            spy=told.get("spy") is True,
            capable=told.get("capable") is True,
            uid=uid if isinstance(uid, int) else None,
            **words,
        )


def why_not(said: str, spying: Spying) -> str:
    """One sentence: why there are no Python frames, and what to do."""
    if not spying.spy:
        place = (
            f", nor can the one we brought run: {visible(spying.came, 80)}" if spying.came else ""
        )
        return f"{NO_SPY} ({spying.machine or 'machine unknown'}){place}: {install(spying.machine)}"
    if not said:
        return "the process has ended"
    if any(word in said for word in REFUSED):
        return f"py-spy was refused: {permission(spying)}"
    if any(word in said for word in NO_PYTHON):
        return f"py-spy finds no Python that it knows in this process: {visible(said, 120)}"
    return f"py-spy: {visible(said, 160)}"


def install(machine: str) -> str:
    return (
        f"`pip install py-spy` here (x86-64), or put a py-spy of {machine or 'its architecture'} "
        "into a folder and say --py-spy-dir"
    )


def permission(spying: Spying) -> str:
    if spying.yama in YAMA and not (spying.yama in {"1", "2"} and spying.capable):
        return YAMA[spying.yama]
    if not spying.capable and spying.uid == 0:
        return (
            "we are root without CAP_SYS_PTRACE, as in a container: start it with "
            "--cap-add SYS_PTRACE (docker), capabilities.add: [SYS_PTRACE] (Kubernetes), or ask "
            "the host instead"
        )
    if not spying.capable:
        return "it belongs to another user: be root there (become)"
    return (
        "though we have CAP_SYS_PTRACE: a security module (SELinux, AppArmor, seccomp) forbids it"
    )
