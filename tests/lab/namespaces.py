"""The few Linux calls that Python 3.11 lacks: unshare, setns, mount, pivot_root, prctl."""

from __future__ import annotations

import ctypes
import os

NEWTIME = 0x00000080
NEWNS = 0x00020000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
SYS_OPEN_TREE, SYS_MOVE_MOUNT = 428, 429  # on every architecture
AT_FDCWD = -100
OPEN_TREE_CLONE, AT_RECURSIVE, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x8000, 4
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    checked(libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    checked(libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, options: str = "") -> None:
    result = libc.mount(
        source.encode(),
        target.encode(),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    checked(result, f"mount {fstype or source} on {target}")


def unmount(target: str) -> None:
    checked(libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Make `new_root` the root; what was the root is gone from this name space."""
    os.chdir(new_root)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    checked(libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    unmount(".")
    os.chdir("/")


def picked_up(path: str) -> int:
    """A descriptor of a copy of that mount, which may be put down in another name space."""
    flags = OPEN_TREE_CLONE | AT_RECURSIVE
    found: int = libc.syscall(ctypes.c_long(SYS_OPEN_TREE), AT_FDCWD, path.encode(), flags)
    checked(min(found, 0), f"open_tree {path}")
    return found


def put_down(descriptor: int, target: str) -> None:
    result = libc.syscall(
        *(ctypes.c_long(SYS_MOVE_MOUNT), descriptor, b"", AT_FDCWD, target.encode()),
        MOVE_MOUNT_F_EMPTY_PATH,
    )
    checked(result, f"move_mount to {target}")


def set_hostname(name: str) -> None:
    checked(libc.sethostname(name.encode(), len(name)), "sethostname")


def die_with_parent(signal_number: int) -> None:
    checked(libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")
