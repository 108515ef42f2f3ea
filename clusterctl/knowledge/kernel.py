"""What kernel log lines about the rest of the node ask of a person, as data with sources."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.knowledge import amd
from clusterctl.model import KernelEvent, Severity, Status

RAS = "Linux admin-guide/RAS"
AER = "Linux PCI/pcieaer-howto"
MLX5 = "NVSentinel ADR 045-048: mlx5 lines that are fatal, and noise"
NVME = "Linux drivers/nvme/host/pci.c"
LOCKUP = "Linux admin-guide/lockup-watchdogs"
DRIVER = "the driver's own source"
FABRIC = "NVIDIA fabric manager guide, fabricmanager.log"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of line asks of a person.  PASS: seen on healthy nodes."""

    status: Status
    severity: Severity
    why: str
    remedy: str
    source: str


def fault(severity: Severity, why: str, remedy: str, source: str) -> Meaning:
    return Meaning(Status.FAIL, severity, why, remedy, source)


def notice(why: str, remedy: str, source: str) -> Meaning:
    return Meaning(Status.WARN, Severity.OBSERVE, why, remedy, source)


def noise(why: str, source: str) -> Meaning:
    return Meaning(Status.PASS, Severity.NONE, why, "", source)


RESEAT = "drain the node, reseat the device or its riser"
REBOOT = "drain the node and reboot it"
LOG = "read the line and what stands around it in the kernel log"

UNCORRECTED = fault(
    Severity.ISOLATE,
    "the processor reports an error it could not correct",
    "drain the node; read the BMC's event log for the CPU or DIMM it names",
    RAS,
)
FIRMWARE_STUCK = fault(
    Severity.REBOOT_NODE,
    "the network card's firmware is stuck or broken",
    "drain the node and power it off and on; if it happens again, replace the card",
    MLX5,
)
LINK_BROKE = fault(Severity.ISOLATE, "a PCIe link broke", RESEAT, AER)
NON_FATAL = notice(
    "a PCIe transfer failed and the link went on",
    "watch this device; reseat it if errors go on",
    AER,
)
DRIVE_GONE = fault(
    Severity.ISOLATE,
    "the drive stopped answering",
    "drain the node, reseat or replace the drive",
    NVME,
)
LOCKED_UP = fault(
    Severity.REBOOT_NODE,
    "a processor was stuck in the kernel",
    "read the stack in the log; drain and reboot the node",
    LOCKUP,
)
NOT_STARTED = fault(
    Severity.REBOOT_NODE,
    "the driver could not start the card",
    "drain and reboot the node; if it stays, reseat or return the card",
    DRIVER,
)
QUEUE_STUCK = notice(
    "the network card did not send for seconds",
    "look at its port and switch port; reload the driver if it goes on",
    "Linux net/sched/sch_generic.c",
)

MEANINGS: dict[tuple[str, str], Meaning] = {
    ("mce", "uncorrected"): UNCORRECTED,
    ("mce", "fatal"): UNCORRECTED,
    ("mce", "memory_failure"): notice(
        "the kernel took broken memory out of use", "see memory_errors for the DIMM", RAS
    ),
    ("mce", "thermal"): notice(
        "the processor slows down to stay cool",
        "look at fans and air flow",
        "Linux drivers/thermal/intel/therm_throt.c",
    ),
    ("edac", "ue"): fault(
        Severity.RETURN,
        "main memory lost data",
        "drain the node and replace the DIMM it names",
        RAS,
    ),
    ("aer", "corrected"): noise("corrected: pcie_errors judges how often", AER),
    ("aer", "non-fatal"): NON_FATAL,
    ("aer", "nonfatal"): NON_FATAL,
    ("aer", "fatal"): LINK_BROKE,
    ("aer", "recovery_failed"): LINK_BROKE,
    ("aer", "dpc"): LINK_BROKE,
    ("aer", "slot_down"): LINK_BROKE,
    ("nvme", "down"): DRIVE_GONE,
    ("nvme", "removed"): DRIVE_GONE,
    ("nvme", "not_ready"): DRIVE_GONE,
    ("mlx5", "command_timeout"): FIRMWARE_STUCK,
    ("mlx5", "health_compromised"): FIRMWARE_STUCK,
    ("mlx5", "unrecoverable"): FIRMWARE_STUCK,
    ("mlx5", "fatal"): FIRMWARE_STUCK,
    ("mlx5", "power"): noise("seen on healthy nodes", MLX5),
    ("mlx5", "unplugged"): noise("seen on unused ports", MLX5),
    ("mlx5", "access_reg"): noise("a question the firmware does not know", MLX5),
    ("mlx5", "pcie_limited"): notice(
        "the card sits in a narrow slot or has a bad lane", "see pcie_width for this card", MLX5
    ),
    ("mlx5", "tx_timeout"): QUEUE_STUCK,
    ("link", "tx_timeout"): QUEUE_STUCK,
    ("disk", "read_only"): fault(
        Severity.ISOLATE,
        "the kernel made a file system read-only after errors",
        "drain the node, check the drive, then the file system",
        "Linux fs/ext4/super.c",
    ),
    ("disk", "filesystem_error"): fault(
        Severity.ISOLATE,
        "a file system is damaged",
        "drain the node, check the drive, then the file system",
        "Linux fs/ext4/super.c",
    ),
    ("disk", "raid_failure"): fault(
        Severity.ISOLATE,
        "a drive was thrown out of its array",
        "replace the drive and rebuild the array",
        "Linux drivers/md",
    ),
    ("disk", "nfs_stalled"): notice(
        "a file server did not answer", "see whether it answers now, and who else waited", DRIVER
    ),
    ("hung", "soft_lockup"): LOCKED_UP,
    ("hung", "hard_lockup"): LOCKED_UP,
    ("hung", "panic"): LOCKED_UP,
    ("hung", "oops"): fault(
        Severity.REBOOT_NODE,
        "the kernel broke and went on",
        REBOOT,
        "Linux admin-guide/bug-hunting",
    ),
    ("fabricmanager", "member_gpu"): notice(
        "the fabric manager does not know a GPU that a job wants in a multicast team",
        "reset this node's GPUs together and restart the fabric manager when no job runs",
        "scitix/sichek: failed to find the member GPU handle",
    ),
    ("nvrm", "init_failed"): NOT_STARTED,
    ("nvrm", "no_gpu"): NOT_STARTED,
    ("nvrm", "fell_off_bus"): fault(
        Severity.REBOOT_NODE,
        "the card fell off the bus",
        "drain the node and reboot it; if it happens again, reseat or return the card",
        DRIVER,
    ),
    ("nvrm", "version_mismatch"): notice(
        "library and driver are of different versions",
        "finish the update: reload the driver or reboot; rebuild old containers",
        DRIVER,
    ),
}

# What any other line of a kind means.
OTHERWISE: dict[str, Meaning] = {
    "mce": notice(
        "the processor reports a machine check",
        "read its details with rasdaemon or mcelog, and the BMC's event log",
        RAS,
    ),
    "edac": notice(
        "main memory corrected an error", "watch the DIMM; replace it if errors go on", RAS
    ),
    "aer": NON_FATAL,
    "nvme": notice(
        "the drive answers late or with errors", "read its SMART log; replace it if so", NVME
    ),
    "mlx5": notice(
        "the network card complains", "look at its temperature, slot, port and firmware", MLX5
    ),
    "disk": notice(
        "errors reading or writing a drive", "read its SMART log; replace it if they go on", NVME
    ),
    "fabricmanager": notice(
        "the fabric manager reports an error",
        "read /var/log/fabricmanager.log around this line; see fabric_manager for its version",
        FABRIC,
    ),
    "hung": notice(
        "something waits without end, mostly for storage",
        "read the stack in the log; look at the file system it waits for",
        LOCKUP,
    ),
    "nvrm": notice("the accelerator's driver complains", LOG, DRIVER),
    "amdgpu": notice("the accelerator's driver complains", LOG, DRIVER),
}
STRANGE = notice("a kind of line our table does not know", LOG, RAS)
ELSEWHERE = frozenset({"xid", "sxid", "oom"})  # read by checks of their own
FLAPS = frozenset({"up", "down"})


def about_hardware(event: KernelEvent) -> bool:
    """Whether no other check reads this event."""
    flap = event.kind == "link" and event.code.lower() in FLAPS
    return event.kind not in ELSEWHERE and not flap


def meaning(event: KernelEvent) -> Meaning:
    exact = MEANINGS.get((event.kind, event.code.lower()))
    if event.kind == "amdgpu" and (known := amd.lines().get(event.code.lower())):
        exact = Meaning(known.status, known.severity, known.what.en, known.first.en, known.source)
    return exact or OTHERWISE.get(event.kind, STRANGE)
