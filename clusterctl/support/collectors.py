"""What a vendor asks for beside what the probes ask: commands that only read, as data.

Of the makers' own collectors only those are here that their makers call safe for a running node.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from clusterctl.model import Answer, Question
from clusterctl.probes.device_files import ANY, NVIDIA

FILES_BYTES = 32 << 20  # of all files of one collector
TEXT_BYTES = 8 << 20
MINUTES_S = 300.0
SLACK_S = 15.0
# A machine that has no BMC lacks nothing, whatever is installed on it.
WITH_BMC = "[ -e /dev/ipmi0 ] || exit 127; exec ipmitool"
BMC: dict[str, Any] = {"timeout_s": 60.0, "group": "bmc"}  # it answers one at a time


@dataclass(frozen=True, slots=True)
class Collector:
    """`why`: what it is for, and who says that it is safe."""

    question: Question
    why: str
    writes_files: bool = False


def text(name: str, *argv: str, why: str, timeout_s: float = 30.0, **how: Any) -> Collector:
    asked = Question(
        name, argv, timeout_s=timeout_s, without_python=argv, cap_bytes=TEXT_BYTES, **how
    )
    return Collector(asked, why)


def files(name: str, *argv: str, why: str, spare: tuple[str, ...]) -> Collector:
    """One that insists on writing files, in a place of its own on the node."""
    asked = Question(
        name,
        (f"{MINUTES_S:g}", str(FILES_BYTES), *argv),
        script="collect",
        timeout_s=MINUTES_S + SLACK_S,
        cap_bytes=2 * FILES_BYTES,
        spare=spare,
        group="collect",
    )
    return Collector(asked, why, writes_files=True)


COLLECTORS = (
    text("dmesg", "sh", "-c", "dmesg -T 2>/dev/null || dmesg", why="the kernel's ring, whole"),
    text(
        "journal_kernel",
        *("journalctl", "-k", "-b", "--no-pager", "-n", "20000"),
        why="the kernel's log of this boot, what the ring has lost among it",
        timeout_s=60.0,
    ),
    text("lspci", "lspci", "-vv", "-nn", why="every PCI function, its link and its AER state"),
    text("dmidecode", "dmidecode", why="board, BIOS and modules, with their serial numbers"),
    text("ip", "ip", "-s", "-d", "address", why="network interfaces and their counters"),
    text("ibv_devinfo", "ibv_devinfo", "-v", why="RDMA devices as verbs see them"),
    text("lsmod", "lsmod", why="kernel modules"),
    text("sel", "sh", "-c", f"{WITH_BMC} sel elist", why="the BMC's event log", **BMC),
    text("sdr", "sh", "-c", f"{WITH_BMC} sdr elist all", why="the BMC's sensors", **BMC),
    text(
        "nvidia_topology",
        *("nvidia-smi", "topo", "-m"),
        why="how NVIDIA GPUs and NICs hang together",
        spare=NVIDIA,
    ),
    text(
        "rocm_techsupport",
        "rocm_techsupport.sh",
        why="AMD's collector; its README: it only reads (github.com/amddcgpuce/rocmtechsupport)",
        timeout_s=MINUTES_S,
        spare=ANY,
    ),
    files(
        "nvidia_bug_report",
        *("nvidia-bug-report.sh", "--safe-mode", "--output-file", "{}/nvidia-bug-report.log"),
        why="what NVIDIA asks for; --safe-mode leaves out what its own help says may hang a system",
        spare=NVIDIA,
    ),
    files(
        "msnpureport",
        "msnpureport",
        why="Ascend: the devices' own logs brought to the host (CANN log reference)",
        spare=ANY,
    ),
)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collector that writes files has brought.  `left`: too large, by name.

    `ran`: it said how it ended.  `whole` False: the answer was cut, so files may be missing.
    """

    files: tuple[tuple[str, bytes], ...] = ()
    said: str = ""
    exit_code: int | None = None
    left: tuple[str, ...] = ()
    ran: bool = False
    whole: bool = False


def collected(answer: Answer) -> Collected:
    """What `remote/collect.py` printed; a line that cannot be read costs that line."""
    found: list[tuple[str, bytes]] = []
    left: list[str] = []
    said, exit_code, ran, whole = "", None, False, False
    for line in answer.stdout.splitlines():
        try:
            row = json.loads(line)
            if "file" in row:
                found.append((str(row["file"]), base64.b64decode(row["data"], validate=True)))
            elif "left" in row:
                left.append(f"{row['left']} ({int(row['size'])} bytes)")
            elif "end" in row:
                whole = int(row["end"]) == len(found)
            else:
                said, exit_code, ran = str(row["said"]), row["exit"], True
        except (ValueError, KeyError, TypeError):
            whole = False
    return Collected(tuple(found), said, exit_code, tuple(left), ran, whole)
