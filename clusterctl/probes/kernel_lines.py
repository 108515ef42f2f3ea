"""Lines of the kernel log that accelerators and network devices write, each with a sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Where a sample comes from, when it is not a kernel source file
COLLECTED = "public reports of drivers of 2017 to 590"
NVSENTINEL = "NVSentinel, design 048"
IMBUE = "imbue-ai/cluster-health, health_checks.py"
SCRAPER = "amd/node-scraper, unit tests"

BDF = r"(?P<pci>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])"
XID_BDF = r"(?:PCI:)?(?P<pci>[0-9a-fA-F:.]{5,20})"  # one real line says 0000:10:1c
MLX5 = rf"mlx5_core ?{BDF}?.*?"
LINK = r"(?:NIC )?[Ll]ink (?:is )?(?P<code>[Dd]own|[Uu]p)\b"


@dataclass(frozen=True, slots=True)
class Pattern:
    """How one kind of line looks.

    `words`: every such line holds one of them, so that most lines cost no more than a search.
    `regex` holds from the message's first character on, and runs on Python 3.6 nodes too.  Its
    groups: `pci`, `cpu` (a number), `mc` (a number) or `name` say the part; `code` says the code
    where `code` itself is empty.  Lines with equal groups are alike: a flood of them is folded.
    """

    kind: str
    code: str
    words: tuple[str, ...]
    regex: str
    sample: str
    origin: str

    @property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex)  # re keeps them


DEVICE_LINES = (
    Pattern(
        "xid",
        "",
        ("NVRM: Xid",),
        rf"NVRM: Xid \({XID_BDF}\): (?P<code>\d{{1,4}}),",
        "NVRM: Xid (PCI:0004:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the "
        "bus.",
        COLLECTED,
    ),
    Pattern(
        "sxid",
        "",
        (": SXid",),
        rf"nvidia-nvswitch\d+: SXid \({XID_BDF}\): (?P<code>\d{{1,6}}),",
        "nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): 24007, Fatal, Link 28 sourcetrack timeout "
        "error (First)",
        COLLECTED,
    ),
    Pattern(
        "nvrm",
        "init_failed",
        ("RmInitAdapter failed", "rm_init_adapter failed"),
        rf"NVRM: (?:GPU {BDF}: )?(?:RmInitAdapter|rm_init_adapter) failed",
        "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x26:0x1a:1227)",
        COLLECTED,
    ),
    Pattern(
        "nvrm",
        "fell_off_bus",
        ("fallen off the bus",),
        rf"NVRM: (?!Xid)(?:(?:The NVIDIA )?GPU (?:at )?(?:PCI:)?{BDF})?.*fallen off the bus",
        "NVRM: The NVIDIA GPU 0000:b7:00.0 NVRM: (PCI ID: 10de:2330) installed in this system has "
        "NVRM: fallen off the bus and is not responding to commands.",
        "NVIDIA/open-gpu-kernel-modules, nv.c",
    ),
    Pattern(
        "nvrm",
        "nvlink",
        ("NVRM: knvlink",),
        r"NVRM: knvlink\w+: .*\b[Ff]ailed\b",
        "NVRM: knvlinkUpdatePostRxDetectLinkMask_IMPL: Failed to update Rx Detect Link mask!",
        COLLECTED,
    ),
    Pattern(
        "nvrm",
        "check_failed",
        ("Check failed: ",),
        r"NVRM: nvCheck\w*: Check failed: ",
        "NVRM: nvCheckOkFailedNoLog: Check failed: Requested object not found "
        "[NV_ERR_OBJECT_NOT_FOUND] (0x00000057) returned from status @ mem_multicast_fabric.c:2917",
        COLLECTED,
    ),
    Pattern(
        "nvrm",
        "assertion_failed",
        ("Assertion failed: ",),
        r"NVRM: nvAssert\w*: Assertion failed: ",
        "NVRM: nvAssertFailedNoLog: Assertion failed: NULL != pMemDesc @ mem_desc.c:1024",
        "NVIDIA/open-gpu-kernel-modules, nvassert.c",
    ),
    Pattern(
        "nvrm",
        "version_mismatch",
        ("NVRM: API mismatch",),
        r"NVRM: API mismatch: ",
        "NVRM: API mismatch: the client has the version 535.129.03, but",
        "NVIDIA/open-gpu-kernel-modules, nv.c",
    ),
    Pattern(
        "nvrm",
        "no_gpu",
        ("NVRM: No NVIDIA",),
        r"NVRM: No NVIDIA \w+ (?:found|probed)",
        "NVRM: No NVIDIA GPU found.",
        "NVIDIA/open-gpu-kernel-modules, nv.c",
    ),
    Pattern(
        "mlx5",
        "command_timeout",
        ("leak of a command resource",),
        rf"{MLX5}timeout\. Will cause a leak of a command resource",
        "mlx5_core 0000:03:00.0: wait_func:964:(pid 112): ENABLE_HCA(0x104) timeout. Will cause a "
        "leak of a command resource",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "health_compromised",
        ("health compromised",),
        rf"{MLX5}device's health compromised - reached miss count",
        "mlx5_core 0000:d2:00.0: poll_health:174: device's health compromised - reached miss "
        "count.",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "health_issue",
        ("Health issue observed",),
        rf"{MLX5}Health issue observed, ",
        "mlx5_core 0000:d2:00.0: print_health_info:431:(pid 0): Health issue observed, firmware "
        "internal error, severity(3) ERROR:",
        "drivers/net/ethernet/mellanox/mlx5/core/health.c",
    ),
    Pattern(
        "mlx5",
        "unrecoverable",
        ("unrecoverable hardware error",),
        r"mlx5_core[ :].*unrecoverable hardware error",
        "mlx5_core: INFO: synd 0x8: unrecoverable hardware error.",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "power",
        ("Detected insufficient power",),
        rf"{MLX5}Detected insufficient power on the PCIe slot",
        "mlx5_core 0000:12:00.0: mlx5_pcie_event:299: Detected insufficient power on the PCIe slot "
        "(27W).",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "module_error",
        ("Port module event[error]",),
        rf"{MLX5}Port module event\[error\]: module \d+",
        "mlx5_core 0000:5c:00.0: Port module event[error]: module 0, Cable error, High Temperature",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "unplugged",
        ("Cable unplugged",),
        rf"{MLX5}Port module event: module \d+, Cable unplugged",
        "mlx5_core 0000:12:00.0: Port module event: module 0, Cable unplugged",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "access_reg",
        ("ACCESS_REG(",),
        rf"(?:{MLX5})?mlx5_cmd\w*:.*ACCESS_REG\(.*\bfailed",
        "mlx5_core 0000:9c:00.0: mlx5_cmd_out_err:838:(pid 5): ACCESS_REG(0x805) op_mod(0x1) "
        "failed, status bad operation(0x2)",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "temperature",
        ("High temperature on sensors",),
        rf"{MLX5}High temperature on sensors",
        "mlx5_core 0000:9c:00.0: temp_warn:180: High temperature on sensors with bit set 0x1 0x0",
        "drivers/net/ethernet/mellanox/mlx5/core/events.c",
    ),
    Pattern(
        "mlx5",
        "tx_timeout",
        ("TX timeout detected",),
        rf"{MLX5}TX timeout detected",
        "mlx5_core 0000:65:00.0 ens15np0: TX timeout detected",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "rx_timeout",
        ("RX timeout on channel",),
        rf"{MLX5}RX timeout on channel",
        "mlx5_core 0000:65:00.0 ens15np0: RX timeout on channel: 20, ICOSQ: 0x1ee0, RQ: 0x1e43",
        NVSENTINEL,
    ),
    Pattern(
        "mlx5",
        "pcie_limited",
        ("PCIe bandwidth, limited by",),
        rf"mlx5_core {BDF}: [0-9.]+ Gb/s available PCIe bandwidth, limited by ",
        "mlx5_core 0000:9c:00.0: 252.056 Gb/s available PCIe bandwidth, limited by 32.0 GT/s PCIe "
        "x8 link at 0000:97:01.0 (capable of 504.112 Gb/s with 32.0 GT/s PCIe x16 link)",
        IMBUE,
    ),
    Pattern(
        "link",
        "",
        ("ink down", "ink Down", "ink up", "ink Up", "ink is "),
        rf"(?!pcieport)[\w-]+ {BDF}:? (?:(?P<name>[\w.@-]+):? )?(?:[\w-]+: [\w.@-]+ )?{LINK}",
        "igb 0000:07:00.0 eno1: igb: eno1 NIC Link is Up 1000 Mbps Full Duplex, Flow Control: RX",
        "drivers/net/ethernet/intel/igb/igb_main.c; mlx5: enp157s0f1np1: Link down",
    ),
    Pattern(
        "link",
        "",
        ("NIC Link is",),
        rf"[\w-]+: (?P<name>[\w.@-]+):? {LINK}",
        "e1000e: eth0 NIC Link is Down",
        "drivers/net/ethernet/intel/e1000e/netdev.c",
    ),
    Pattern(
        "link",
        "tx_timeout",
        ("NETDEV WATCHDOG",),
        r"NETDEV WATCHDOG: (?P<name>[\w.@-]+) \(",
        "NETDEV WATCHDOG: eth0 (mlx5_core): transmit queue 0 timed out",
        NVSENTINEL,
    ),
    Pattern(
        "link",
        "tx_timeout",
        ("NETDEV WATCHDOG",),
        rf"[\w-]+ {BDF} (?P<name>[\w.@-]+): NETDEV WATCHDOG: ",
        "mlx5_core 0000:65:00.0 ens15np0: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5000 "
        "ms",
        "net/sched/sch_generic.c since 6.4",
    ),
)
