"""What kernel log lines about the rest of the node ask of a person, as data with sources."""

from __future__ import annotations

from dataclasses import dataclass

from clusterctl.model import KernelEvent, Severity, Status

KERNEL = "Linux kernel documentation, admin-guide/RAS and PCI/pcieaer-howto"
NVSENTINEL = "NVSentinel ADR 045-048: mlx5 lines that are fatal, and noise"
DRIVER = "the driver's own source"


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of event, words of which any one must be in its code or line (none: the rest)."""

    kind: str
    words: tuple[str, ...]
    status: Status
    severity: Severity
    why: str
    remedy: str
    source: str


WARN, FAIL, NOISE = Status.WARN, Status.FAIL, Status.PASS
OBSERVE, ISOLATE = Severity.OBSERVE, Severity.ISOLATE

# Of each kind the first line that matches decides.
LINES: tuple[Line, ...] = (
    Line(
        "mce",
        ("uncorrected", "fatal", "panic", "processor context corrupt"),
        FAIL,
        ISOLATE,
        "the processor reports an error it could not correct",
        "drain the node; read the BMC's event log for the CPU or DIMM it names",
        KERNEL,
    ),
    Line(
        "mce",
        (),
        WARN,
        OBSERVE,
        "the processor reports a machine check",
        "read its details with rasdaemon or mcelog, and the BMC's event log",
        KERNEL,
    ),
    Line(
        "edac",
        ("ue", "uncorrected", "uncorrectable"),
        FAIL,
        Severity.RETURN,
        "main memory lost data",
        "drain the node and replace the DIMM it names",
        KERNEL,
    ),
    Line(
        "edac",
        (),
        WARN,
        OBSERVE,
        "main memory corrected an error",
        "watch the DIMM it names; replace it if errors go on",
        KERNEL,
    ),
    Line(
        "aer",
        ("nonfatal", "non-fatal"),
        WARN,
        OBSERVE,
        "a PCIe transfer failed and the link went on",
        "watch this device; reseat it if errors go on",
        KERNEL,
    ),
    Line(
        "aer",
        ("fatal",),
        FAIL,
        ISOLATE,
        "a PCIe link broke",
        "drain the node, reseat the device or its riser",
        KERNEL,
    ),
    # "Uncorrected (Fatal)" holds this word too: it must come after the others.
    Line("aer", ("corrected",), NOISE, Severity.NONE, "corrected: the counters tell", "", KERNEL),
    Line("aer", (), WARN, OBSERVE, "a PCIe error", "watch this device", KERNEL),
    Line(
        "nvme",
        ("controller is down", "removing after probe failure", "removed", "down", "dead"),
        FAIL,
        ISOLATE,
        "the drive stopped answering",
        "drain the node, reseat or replace the drive",
        "Linux drivers/nvme/host/pci.c",
    ),
    Line(
        "nvme",
        (),
        WARN,
        OBSERVE,
        "the drive answers late or with errors",
        "read its SMART log; replace it if this goes on",
        "Linux drivers/nvme/host/pci.c",
    ),
    Line(
        "mlx5",
        (
            "will cause a leak of a command resource",
            "health compromised",
            "unrecoverable hardware error",
            "soft lockup",
            "fatal",
        ),
        FAIL,
        Severity.REBOOT_NODE,
        "the network card's firmware is stuck or broken",
        "drain the node and power it off and on; if it happens again, replace the card",
        NVSENTINEL,
    ),
    Line(
        "mlx5",
        ("access_reg", "insufficient power", "cable unplugged", "cable plugged"),
        NOISE,
        Severity.NONE,
        "seen on healthy nodes",
        "",
        NVSENTINEL,
    ),
    Line(
        "mlx5",
        (),
        WARN,
        OBSERVE,
        "the network card complains",
        "read the line; look at its temperature, its slot and its port",
        NVSENTINEL,
    ),
    Line(
        "disk",
        ("read-only", "remount"),
        FAIL,
        ISOLATE,
        "the kernel made a file system read-only after errors",
        "drain the node, check the drive, then the file system",
        KERNEL,
    ),
    Line(
        "disk",
        (),
        WARN,
        OBSERVE,
        "errors reading or writing a drive",
        "read the drive's SMART log; replace it if errors go on",
        KERNEL,
    ),
    Line(
        "hung",
        ("lockup",),
        FAIL,
        Severity.REBOOT_NODE,
        "a processor was stuck in the kernel",
        "read the stack in the log; drain and reboot the node",
        "Linux kernel documentation, admin-guide/lockup-watchdogs",
    ),
    Line(
        "hung",
        (),
        WARN,
        OBSERVE,
        "a process waits without end, mostly for storage",
        "read the stack in the log; look at the file system it waits for",
        "Linux kernel/hung_task.c",
    ),
    Line(
        "nvrm",
        ("rminitadapter failed", "rm_init_adapter failed", "rminit"),
        FAIL,
        Severity.REBOOT_NODE,
        "the driver could not start the card",
        "drain and reboot the node; if it stays, reseat or return the card",
        DRIVER,
    ),
    Line("nvrm", (), WARN, OBSERVE, "the accelerator's driver complains", "read the line", DRIVER),
    Line(
        "amdgpu",
        ("reaches threshold",),
        FAIL,
        Severity.RETURN,
        "as many bad pages as the vendor allows",
        "drain the node and return the card",
        DRIVER,
    ),
    Line(
        "amdgpu",
        ("uncorrectable hardware errors", "uncorrectable"),
        FAIL,
        Severity.RESET_DEVICE,
        "the device lost data",
        "drain the node and reset the device",
        DRIVER,
    ),
    Line(
        "amdgpu",
        ("poison is consumed",),
        WARN,
        Severity.RESTART_JOB,
        "a job used data that was lost",
        "restart the job; return the card if it happens again",
        DRIVER,
    ),
    Line(
        "amdgpu", (), WARN, OBSERVE, "the accelerator's driver complains", "read the line", DRIVER
    ),
)
# Read by checks of their own.
ELSEWHERE = frozenset({"xid", "sxid", "oom", "link"})
STRANGE = Line(
    "", (), WARN, OBSERVE, "a kind of line our table does not know", "read the line", KERNEL
)


def line_for(event: KernelEvent) -> Line:
    code, text = event.code.lower(), event.line.lower()
    return next((line for line in LINES if fits(line, event.kind, code, text)), STRANGE)


def fits(line: Line, kind: str, code: str, text: str) -> bool:
    """The probe's code decides where it is one of our words: a line may name both severities."""
    if line.kind != kind:
        return False
    if not line.words or code in line.words:
        return True
    if code in CODES:
        return False
    return any(word in text for word in line.words if len(word) > len("ue"))


CODES = frozenset({"corrected", "nonfatal", "fatal", "ue", "ce"})
