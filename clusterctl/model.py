"""The nouns of clusterctl.  Pure data: this module imports nothing of ours.

In every fact `None` means that the tool says it has nothing to report here; it is neither zero nor
healthy.  What a tool failed to say is a `Trouble`, never a `None`.  Units end names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Literal


class UserError(Exception):
    """The operator's mistake, in one line: file, key, remedy.  Exit 2; nothing was run."""


# --------------------------------------------------------------------------- who and what is asked


@dataclass(frozen=True, slots=True)
class Node:
    """One machine we may be asked to look at.  `via` is a jump host: [user@]host[:port]."""

    name: str
    address: str = ""
    user: str = ""
    port: int = 0
    via: str = ""
    become: bool = False
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    origin: str = ""  # inventory file and line
    identity: str = ""  # private key file; empty: ssh's own choice

    @property
    def host(self) -> str:
        return self.address or self.name


@dataclass(frozen=True, slots=True)
class Question:
    """What a node is asked; travels to it as data.

    `command` is an argument vector, never a shell line built from outside text.  With `script`, the
    file of that stem in `remote/` runs in the node's Python with `command` as its `sys.argv[1:]`,
    and may import `modules` of the controller's installation.  `files`, paths in `remote/`, come
    along as text: the script's global FILES maps each path to it.  `without_python` is the command
    for nodes that have no Python; empty: such a node cannot be asked this.
    `programs`, paths here, come along as bytes: its global PROGRAMS maps each path to them.
    `group` names questions that must not run side by side (one firmware, one driver lock).
    `spare`: device files; while a job holds one of them this is not asked, for it could be felt
    there.  `asleep`: with it, only where a file of the first form holds the second text.
    `brief`: a script that only reads and takes no time, so that one process of the node may run it
    after others like it; where it is held up, the others do not wait for it.
    `lease_s`: what it says comes as it says it, in answers with `more`, until it ends.  The node
    hears from us with each of them; where it does not for so long, it ends everything.
    """

    name: str
    command: tuple[str, ...] = ()
    timeout_s: float = 20.0
    script: str = ""
    modules: tuple[str, ...] = ()
    without_python: tuple[str, ...] = ()
    cap_bytes: int = 1 << 20
    group: str = ""
    files: tuple[str, ...] = ()
    brief: bool = False
    programs: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    asleep: tuple[str, ...] = ()
    lease_s: float = 0.0


SPARED = 300  # an exit code that no process has
LEFT_ALONE = "left alone: a job holds the accelerators"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node said to one question.  `exit_code` None: it was stopped at its deadline.

    A process ended by signal n has `exit_code` -n; SPARED: it was not asked, see `Question.spare`.
    `truncated`: the output passed the cap.  `more`: a part of stdout, and the rest comes later.
    """

    name: str
    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float
    truncated: bool = False
    more: bool = False


WHOLE_NODE = "*"


class Kind(StrEnum):
    """Why we could not see."""

    UNREACHABLE = "unreachable"
    DENIED = "denied"
    TIMEOUT = "timeout"
    MISSING = "missing"  # the tool is not installed
    CUT = "cut"  # the conversation, or the output, ended early
    EXIT = "exit"  # the tool ran and failed
    UNREADABLE = "unreadable"  # we do not understand what it printed
    BUG = "bug"  # we broke; the traceback is in the log


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be observed.

    `part` empty: the whole answer; WHOLE_NODE: the conversation itself.
    """

    kind: Kind
    detail: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


# --------------------------------------------------------------------------- facts


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device, whoever made it.

    `throttle` holds the reasons active now, in our words: idle, sw_power_cap, hw_slowdown,
    sw_thermal, hw_thermal, hw_power_brake, sync_boost, clocks_setting, display; unspecified
    where the tool only says that there is one.
    `health` is the vendor's own word in lower case, "ok" where it means healthy.
    `ecc_*_volatile` count since the driver was loaded, `ecc_*_aggregate` over the card's life.
    """

    part: str  # gpu3, npu3, …
    vendor: str = ""  # nvidia, huawei, amd, …
    index: int | None = None
    uuid: str = ""
    serial: str = ""
    model: str = ""
    pci: str = ""  # 0000:1b:00.0, lower case, four-digit domain where it fits
    health: str | None = None
    temp_c: float | None = None
    temp_memory_c: float | None = None
    temp_slowdown_c: float | None = None  # the core slows itself down here
    temp_memory_max_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    clock_sm_mhz: float | None = None
    clock_sm_max_mhz: float | None = None
    clock_memory_mhz: float | None = None
    clock_memory_max_mhz: float | None = None
    utilisation_percent: float | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    throttle: tuple[str, ...] | None = None
    throttle_thermal_us: int | None = None  # since the driver was loaded
    throttle_power_us: int | None = None
    ecc_on: bool | None = None
    ecc_corrected_volatile: int | None = None
    ecc_uncorrected_volatile: int | None = None
    ecc_corrected_aggregate: int | None = None
    ecc_uncorrected_aggregate: int | None = None
    ecc_deferred_volatile: int | None = None  # lost data that nobody has used yet
    retired_pages: int | None = None
    retired_pending: bool | None = None
    remapped_corrected: int | None = None
    remapped_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    pcie_gen: int | None = None
    pcie_gen_max: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_replays: int | None = None
    fabric_state: str | None = None  # completed, in_progress, not_started, …; lower case
    fabric_status: str | None = None  # success or the tool's error word
    recovery_action: str | None = None  # none, reset, reboot, drain, rma, …
    persistence: bool | None = None
    mig: bool | None = None
    error_codes: tuple[str, ...] | None = None  # the vendor's own fault codes, active now
    fabric_cluster: str | None = None  # the fabric it joined; GPUs of one domain say the same
    fabric_clique: int | None = None  # within it, those that reach each other


@dataclass(frozen=True, slots=True)
class Link:
    """One accelerator-to-accelerator link (NVLink, xGMI, HCCS).  Counters only ever grow."""

    part: str  # gpu3/link5
    accelerator: str  # gpu3
    kind: str  # nvlink, xgmi, hccs, …
    state: str  # up, down, inactive
    rate_gbyte_s: float | None = None
    counters: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of an accelerator that jobs get as if it were a whole one (MIG)."""

    part: str  # gpu3/mig0
    accelerator: str  # gpu3
    uuid: str = ""
    profile: str = ""  # 3g.40gb
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    ecc_uncorrected_volatile: int | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a daemon that watches the node says of a part of it.

    `state`: healthy, warning, failure, internal_error; unwatched: nobody asked it to look.
    """

    part: str  # gpu3, nvswitch0, node
    by: str  # dcgm
    state: str
    system: str = ""  # memory system, nvlink system, …
    text: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """Nodes whose accelerators share memory over one fabric, as this node's daemon sees them.

    `state`: up, degraded, down, … in the daemon's words; `members`: address -> state of each.
    `nodes_named`: how many nodes its file names.
    """

    part: str  # imex
    state: str
    members: Mapping[str, str] = field(default_factory=dict, hash=False)
    nodes_named: int | None = None
    versions: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeviceProcess:
    """A process that holds an accelerator."""

    part: str  # the accelerator, gpu3
    pid: int
    name: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """One network port: RDMA (`mlx5_4/1`) or Ethernet (`eth0`).

    `state`: active, down, init, armed, unknown.  `counters` keep the tool's own names
    (symbol_error, link_downed, rx_crc_errors_phy, …) and only ever grow.
    """

    part: str
    device: str
    state: str
    link_layer: str = ""  # infiniband, ethernet
    phys_state: str | None = None  # linkup, polling, disabled, …
    rate_gbit_s: float | None = None
    rate_max_gbit_s: float | None = None  # what the hardware or its module could do
    width: int | None = None  # lanes
    duplex: str | None = None
    netdev: str | None = None
    driver: str | None = None
    firmware: str | None = None
    pci: str | None = None
    guid: str | None = None
    mtu_bytes: int | None = None
    enabled: bool | None = None  # administratively up
    reach: str | None = None  # the address it is told to watch answers: ok, or the tool's word
    downs_s_ago: tuple[float, ...] | None = None  # when its link went down, by its own history
    counters: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Optic:
    """The module in a port.  Powers per lane in mW; None where the module does not measure."""

    part: str
    vendor: str = ""
    model: str = ""
    serial: str = ""
    temp_c: float | None = None
    volt_v: float | None = None
    tx_mw: tuple[float, ...] | None = None
    rx_mw: tuple[float, ...] | None = None
    bias_ma: tuple[float, ...] | None = None
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BitErrors:
    """How clean a port's signal arrives, since its counters were last cleared.

    `raw_ber` before, `effective_ber` after error correction; both a share of all bits.
    `most_corrected`: the most symbols that were corrected in one codeword.
    `advice`: what the firmware recommends; empty: nothing.
    """

    part: str  # mlx5_4/1
    fec: str = ""
    raw_ber: float | None = None
    effective_ber: float | None = None
    lane_ber: tuple[float, ...] | None = None
    effective_errors: int | None = None
    seconds: float | None = None
    most_corrected: int | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a device keeps itself.  `value` holds now, `next_boot` after a reboot."""

    part: str  # mlx5_4/MAX_ACC_OUT_READ
    device: str
    name: str
    value: str | None = None
    next_boot: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Bond:
    """Ports that the kernel uses as one.  `aggregators`: of each member, 802.3ad alone."""

    part: str  # bond0
    mode: str
    state: str  # active, down
    members: Mapping[str, str] = field(default_factory=dict, hash=False)  # port -> active, down
    rates_gbit_s: Mapping[str, float] = field(default_factory=dict, hash=False)
    aggregators: Mapping[str, str] = field(default_factory=dict, hash=False)
    partner: str | None = None  # the switch's MAC address; None: not 802.3ad


@dataclass(frozen=True, slots=True)
class PcieDevice:
    """One PCI function that matters: accelerator, nic, nvme, or an AER reporter on their path."""

    part: str  # 0000:1b:00.0
    kind: str  # accelerator, nic, nvme, other
    vendor_id: str  # 10de
    device_id: str
    class_id: str  # 030200
    vendor: str = ""  # nvidia, huawei, … ; empty: a vendor nobody here knows
    driver: str = ""  # empty: no driver bound
    gen: int | None = None
    gen_max: int | None = None
    width: int | None = None
    width_max: int | None = None
    numa_node: int | None = None
    aer_corrected: int | None = None
    aer_nonfatal: int | None = None
    aer_fatal: int | None = None
    askable: bool = True  # False: nobody here knows how to ask this vendor's cards


@dataclass(frozen=True, slots=True)
class KernelEvent:
    """One line of the kernel log that means something.

    `kind`: xid, sxid, fabricmanager, nvrm, mce, edac, aer, nvme, mlx5, oom, link, disk, hung,
    amdgpu.
    `code`: the XID number, or our short word: corrected, nonfatal, fatal, ue, ce, down, up, …
    `part`: PCI address, port or drive as the line spells it; empty where it names none.
    `count`: 1 and the lines like it, just before it, that the node left out of a flood.
    """

    part: str
    kind: str
    code: str
    line: str
    at: datetime | None = None
    seconds_ago: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Boot:
    """Which boot this is.  Counters of different boots are not compared."""

    boot_id: str
    uptime_s: float | None = None
    wall: datetime | None = None  # the node's own clock


@dataclass(frozen=True, slots=True)
class LogWindow:
    """What part of the kernel log was looked at: no event in it means none since `since_s` ago."""

    part: str  # kmsg, journal, dmesg
    since_s: float | None
    records: int
    lost: bool = False  # the ring had wrapped: older records are gone


@dataclass(frozen=True, slots=True)
class Cpu:
    part: str
    model: str
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    online: int | None = None
    numa_nodes: int | None = None
    mhz: float | None = None
    mhz_max: float | None = None
    governor: str | None = None
    microcode: str | None = None
    load1: float | None = None
    throttle_events: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    part: str  # memory, node0, …
    total_bytes: int
    available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    hardware_corrupted_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Dimm:
    """Memory errors by EDAC controller or module.  Counters since boot."""

    part: str  # mc0, mc0/dimm3
    label: str = ""
    corrected: int | None = None
    uncorrected: int | None = None


@dataclass(frozen=True, slots=True)
class Drive:
    part: str  # nvme0
    model: str = ""
    serial: str = ""
    firmware: str = ""
    size_bytes: int | None = None
    state: str | None = None  # live, dead, resetting
    smart_passed: bool | None = None  # the drive's own verdict on itself
    critical_warning: int | None = None
    spare_percent: float | None = None
    spare_threshold_percent: float | None = None
    used_percent: float | None = None
    media_errors: int | None = None
    temp_c: float | None = None


@dataclass(frozen=True, slots=True)
class Filesystem:
    part: str  # the mount point
    device: str
    fstype: str
    read_only: bool
    wanted_read_only: bool | None = None  # what fstab asks for; None: not in fstab
    size_bytes: int | None = None
    available_bytes: int | None = None
    inodes: int | None = None
    inodes_available: int | None = None
    mounted: bool = True  # False: in fstab and not there


@dataclass(frozen=True, slots=True)
class Clock:
    part: str  # chrony, ntp, timex
    synchronised: bool | None
    offset_s: float | None = None
    uncertainty_s: float | None = None
    stratum: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """Something that should be the same on peers: os, kernel, driver, firmware, a sysctl."""

    part: str  # kernel, driver/nvidia, firmware/mlx5_0, sysctl/vm.swappiness, …
    value: str


@dataclass(frozen=True, slots=True)
class Service:
    part: str  # nvidia-fabricmanager
    state: str  # active, failed, inactive, activating, …
    enabled: bool | None = None
    restarts: int | None = None  # by systemd, since the unit was loaded


@dataclass(frozen=True, slots=True)
class Scheduler:
    """What a batch scheduler does with the node.  `jobs`: those that have it, in words."""

    part: str  # slurm
    served: bool  # its daemon runs here
    jobs: tuple[str, ...] = ()  # job 1234 of alice (train, running)
    answered: bool = False  # its controller did


@dataclass(frozen=True, slots=True)
class Burn:
    """What a part did under load.  `errors`: results that were wrong; None: not checked.

    `covered` and `asked` are shares of the part, 0 to 1: what was loaded and what should have been.
    """

    part: str  # cpu, memory, disk:/tmp, gpu3
    engine: str
    seconds: float
    amount: float | None = None
    unit: str = ""  # bytes, operations, flop
    rate: float | None = None
    rate_unit: str = ""  # gbyte_s, gop_s, tflop_s
    errors: int | None = None
    covered: float | None = None
    asked: float | None = None
    detail: str = ""
    precision: str = ""  # bf16, fp32, … of an accelerator's arithmetic
    power_w: float | None = None  # mean while the load ran
    power_limit_w: float | None = None
    clock_sm_mhz: float | None = None  # mean while the load ran
    temp_max_c: float | None = None
    digest: str = ""  # of a deterministic kernel's result: equal on every healthy part of a model


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """One directed measurement.  `part` is n017>n018 between nodes, a port in loopback.

    n017/2>n018/2 names rail 2 of both.  `both_ways`: the other direction was loaded too.
    `crossed` False: the kernel kept it inside the node, so it says nothing about the port.
    """

    part: str
    engine: str
    gbit_s: float
    size_bytes: int | None = None
    seconds: float | None = None
    samples_gbit_s: tuple[float, ...] = ()
    wrong: int | None = None
    retransmits: int | None = None
    crossed: bool = True
    both_ways: bool = False
    numa_node: int | None = None  # where the reporting side's processes ran; None: anywhere


@dataclass(frozen=True, slots=True)
class Power:
    """What a node drew under load.

    `power_w` is what adds up with that of others: the median under a steady load, the most where
    all of them step together (`in_step`).  `whole` False: the source sees a part of the node only.
    """

    part: str  # node
    source: str  # ACPI power meter, ipmitool dcmi, …
    power_w: float
    least_w: float | None = None
    most_w: float | None = None
    seconds: float | None = None
    whole: bool = False
    in_step: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """One path within a node: host>gpu0, gpu0>host, gpu0>gpu1, gpu0>gpu0 (its own memory).

    `way`: by what, in the engine's words: direct or staged, pinned memory, copy engine or kernel.
    `samples_gbyte_s`: one an iteration, or a batch of them.  `wrong`: words; None: not compared.
    """

    part: str
    engine: str
    gbyte_s: float
    size_bytes: int | None = None
    seconds: float | None = None
    samples_gbyte_s: tuple[float, ...] = ()
    wrong: int | None = None
    way: str = ""
    both_ways: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Latency:
    """Half a round trip of messages of this size, after warm-up; of an RDMA read, all of it.

    `part` is n017>n018.
    """

    part: str
    engine: str
    size_bytes: int
    count: int
    median_us: float
    p99_us: float
    mean_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None


@dataclass(frozen=True, slots=True)
class Collective:
    """One size of a collective operation, as nccl-tests counts: rates in GB/s, 10^9 bytes.

    `part`: the group, n[001-004], or n[001-004]/2 on rail 2 alone.  `operation`: all_reduce,
    all_gather, reduce_scatter, all_to_all, broadcast, send_recv.  `algbw_gbyte_s` is size over
    time; `busbw_gbyte_s` that times the operation's factor, and equals what one link of a ring
    carries.  `wrong`: elements or ranks with another result than due; None: not checked, and
    `unchecked` says why.  `samples_gbyte_s`: busbw of every iteration, where the engine tells.
    """

    part: str
    operation: str
    engine: str
    nodes: tuple[str, ...]
    ranks: int
    size_bytes: int
    algbw_gbyte_s: float
    busbw_gbyte_s: float
    time_us: float | None = None
    wrong: int | None = None
    unchecked: str = ""
    in_place: bool | None = None
    samples_gbyte_s: tuple[float, ...] = ()
    version: str = ""  # of the library: NCCL 2.23.4
    algorithm: str = ""  # ring, where it was forced; auto
    offload: str = ""  # NVLS, SHARP, none; empty: the engine does not say


@dataclass(frozen=True, slots=True)
class FabricLink:
    """One end of a cable of a switched fabric, and what is at the other.  `part`: leaf-3/17.

    `near` and `far` are the names that the boxes give themselves; kinds: switch, ca, router, and
    empty where the tool does not say.  `*_guid` is the port's (of a switch: its port 0's),
    `near_device` the box's own.  `far` empty: nothing is seen at the other end.
    `speed_gbit_s` is of one lane; `*_could*`: what both ends support.
    """

    part: str
    near: str
    near_guid: str
    near_port: int
    near_kind: str = ""
    near_device: str = ""
    far: str = ""
    far_guid: str = ""
    far_port: int | None = None
    far_kind: str = ""
    state: str = ""  # active, init, armed, down; empty: not said
    phys_state: str | None = None
    width: int | None = None  # lanes
    width_could: int | None = None
    speed_gbit_s: float | None = None
    speed_could_gbit_s: float | None = None


@dataclass(frozen=True, slots=True)
class FabricCounters:
    """Error counters of a fabric's port that are not zero, in the tool's own names."""

    part: str  # leaf-3/17
    near: str
    near_guid: str
    near_port: int
    counters: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Stages:
    """How many warnings and errors a fabric's own checker found, by its stages."""

    part: str  # fabric
    tool: str
    warned: Mapping[str, int] = field(default_factory=dict, hash=False)
    failed: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a port hears of the switch it is plugged into (LLDP).  `part`: our port, eth0."""

    part: str
    system: str  # the switch's name; else its chassis id
    system_port: str
    chassis: str = ""
    text: str = ""  # what the switch's port is described as


@dataclass(frozen=True, slots=True)
class Address:
    """A port's address as the device has it and as its file says; empty: it has none."""

    part: str  # npu3
    actual: str
    configured: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One reading of a board's sensor, and what the board itself thinks of it.

    `kind`: temperature, inlet, coolant_in, coolant_out, power, voltage, current, humidity,
    redundancy, discrete, other.  `unit`: c, w, v, a, percent, feet, lpm; empty: it has no number.
    `health` is the board's own word: ok, warning, critical.  Thresholds are the board's own too.
    """

    part: str  # as the board calls it: Inlet Temp
    kind: str
    measured: float | None = None
    unit: str = ""
    health: str | None = None
    words: tuple[str, ...] = ()  # states that a discrete sensor asserts
    low_critical: float | None = None
    high_warning: float | None = None
    high_critical: float | None = None


@dataclass(frozen=True, slots=True)
class Psu:
    """One power supply.  `power_w`: where the tool does not say of which side."""

    part: str  # psu1, by the board's own number
    present: bool | None = None
    health: str | None = None  # ok, warning, critical
    words: tuple[str, ...] = ()  # Presence detected, Power Supply AC lost, …
    input_w: float | None = None
    output_w: float | None = None
    power_w: float | None = None
    capacity_w: float | None = None
    input_v: float | None = None
    temp_c: float | None = None
    model: str = ""
    serial: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True)
class Fan:
    """One fan, by its tachometer or the share of full speed that the board tells."""

    part: str  # as the board calls it
    rpm: float | None = None
    percent: float | None = None
    health: str | None = None  # ok, warning, critical
    words: tuple[str, ...] = ()
    present: bool | None = None
    low_critical_rpm: float | None = None


@dataclass(frozen=True, slots=True)
class SelEvent:
    """One record of the BMC's event log.  `source`: which tool numbers the records so.

    `at`: by the BMC's own clock, which may be wrong; None: logged before the clock was set.
    """

    part: str  # the sensor
    record: str
    event: str
    asserted: bool | None = None
    sensor_type: str = ""
    detail: str = ""
    severity: str = ""  # the BMC's own word, lower case: ok, warning, critical
    at: datetime | None = None
    seconds_ago: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Chassis:
    """What the BMC says of the machine as a whole, running or not."""

    part: str  # bmc
    power: str | None = None  # on, off, and what Redfish calls poweringon, poweringoff, paused
    health: str | None = None  # ok, warning, critical
    faults: tuple[str, ...] = ()  # main power fault, overload, drive fault, …
    boot: str | None = None  # how far the start got: osrunning, pciresourceconfigstarted, …
    last_power_event: str = ""  # ac-failed, fault, command, …
    watchdog: str | None = None  # what it last did, in the BMC's word
    model: str = ""
    serial: str = ""
    firmware: str = ""  # of the BMC


Fact = (
    Accelerator
    | Link
    | Partition
    | Diagnosis
    | Domain
    | DeviceProcess
    | Port
    | Optic
    | BitErrors
    | Setting
    | Bond
    | PcieDevice
    | KernelEvent
    | Boot
    | LogWindow
    | Cpu
    | Memory
    | Dimm
    | Drive
    | Filesystem
    | Clock
    | Version
    | Service
    | Scheduler
    | Burn
    | Bandwidth
    | Copy
    | Power
    | Latency
    | Collective
    | FabricLink
    | FabricCounters
    | Stages
    | Neighbour
    | Address
    | Sensor
    | Psu
    | Fan
    | SelEvent
    | Chassis
)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one probe learned about one node.

    No field set: looked, and nothing there.  `skip`: why the probe does not apply to this node.
    """

    node: str
    probe: str
    at: datetime
    facts: tuple[Fact, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    skip: str = ""


# --------------------------------------------------------------------------- how it is asked


@dataclass(frozen=True, slots=True)
class Applies:
    """What makes a probe apply.  The node's own PCI list decides; empty: it always applies.

    Vendor ids are four lower-case hex digits; `kinds` as in `PcieDevice.kind`.
    A node that has such a device and no tool is UNKNOWN; one that has none is SKIP.
    """

    pci_vendors: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    why_not: str = ""  # the SKIP reason: "no NVIDIA device on the PCI bus"


Parse = Callable[[str], Iterable[Fact | Trouble]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A read-only question and the pure function that reads its answer.

    Probes of one `subject` see the same things; the one of lowest `rank` that works is believed,
    and trouble with another is a finding of its own.  `optional`: the tool's absence, and nothing
    else, is a SKIP (nobody promised that chrony is installed); `tool` is its name, where that is
    not the probe's.
    `good_exits`: exit codes with which the tool told the whole truth.
    `proven`: "hardware", "captured", "documentation".
    """

    question: Question
    parse: Parse
    yields: tuple[type[Fact], ...]
    about: str
    subject: str = ""
    rank: int = 0
    applies: Applies = Applies()
    optional: bool = False
    good_exits: tuple[int, ...] = (0,)
    proven: str = "captured"
    tool: str = ""

    @property
    def name(self) -> str:
        return self.question.name


class Status(StrEnum):
    PASS = "pass"  # noqa: S105 - a status, not a secret
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # asked, could not see
    SKIP = "skip"  # not applicable here; `why` says so


class Severity(StrEnum):
    """What a finding asks of a person, mildest first."""

    NONE = "none"
    OBSERVE = "observe"
    RESTART_JOB = "restart-job"
    RESET_DEVICE = "reset-device"
    REBOOT_NODE = "reboot-node"
    ISOLATE = "isolate"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's answer about one part of one node.

    `source`: where the limit comes from.  `yardstick`: floor, peers or past.
    """

    node: str
    part: str
    status: Status
    expected: str = ""
    actual: str = ""
    why: str = ""
    remedy: str = ""
    severity: Severity = Severity.NONE
    source: str = ""
    yardstick: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with the check that gave it.

    `shared` names the finding that explains this one (`rack=r7`, `unreachable`); reports then show
    only that one.
    """

    check: str
    verdict: Verdict
    shared: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """One number or word that a check compares with, and who says so."""

    value: float | int | str | bool | tuple[str, ...]
    source: str
    conditions: str = ""


Limits = Mapping[str, Limit]


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a source may know more of a node than it told: what it left out is not missing.

    `elsewhere`: the parts that sources of its subject told of, on all nodes of the run.
    """

    probe: str
    trouble: Trouble
    elsewhere: frozenset[str] = frozenset()

    @property
    def why(self) -> str:
        return f"{self.probe}: {self.trouble}"

    @property
    def part(self) -> str:
        """What it did not tell of; empty: it may be anything."""
        return self.trouble.part if self.trouble.part != WHOLE_NODE else ""

    def hides(self, part: str) -> bool:
        """Whether this part, which other nodes have, may be there all the same."""
        if part not in self.elsewhere:
            return False
        if any(within(self.part, other) for other in self.elsewhere):
            return within(self.part, part)
        return True


def within(name: str, part: str) -> bool:
    """mlx5_4 in mlx5_4/1 and in rdma/mlx5_4/1/pfc, and not in mlx5_40/1."""
    return bool(name) and f"/{name}/" in f"/{part}/"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a check may know of one node.

    `facts`: from the best source of each subject.  `earlier`: the same before, `seconds` ago, of
    the same boot where `same_boot`.  `limits`: this check's, resolved for this node.
    `reported`: (fact type, model, field) that at least one part in the run reports, so that a
    missing value can be told from one that this model never has.
    `gaps`: the sources of each type of fact that did not tell all; none about a part that is in
    `facts` all the same.  Who calls something missing asks them first: see verdicts.hidden.
    """

    node: Node
    facts: tuple[Fact, ...]
    limits: Limits = field(default_factory=dict)
    earlier: tuple[Fact, ...] = ()
    seconds: float | None = None
    same_boot: bool = True
    reported: frozenset[tuple[str, str, str]] = frozenset()
    gaps: Mapping[type[Fact], tuple[Gap, ...]] = field(default_factory=dict)


Judge = Callable[[Sequence[Evidence]], Iterable[Verdict]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question about nodes.

    `scope` node: judge is called with one node's evidence at a time; fleet: with all at once.
    `limits`: every number the judge compares with, with its source; playbook and SKU override them.
    `wants`: without a working source for these fact types, the check is UNKNOWN there.
    `uses`: facts that sharpen the verdict and whose absence costs nothing.
    `options`: limits it understands and does not set (an expected count, say).
    `sums`: judged with the nodes that could not be seen, too: a sum must know who is missing.
    """

    name: str
    asks: str
    wants: tuple[type[Fact], ...]
    judge: Judge
    limits: Limits = field(default_factory=dict)
    uses: tuple[type[Fact], ...] = ()
    options: tuple[str, ...] = ()
    scope: Literal["node", "fleet"] = "node"
    sums: bool = False


# --------------------------------------------------------------------------- trials


Group = tuple[Node, ...]
Round = tuple[Group, ...]  # groups of one round share no node
Params = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Trial:
    """A question that loads hardware and knows who it runs with.

    `plan` yields rounds of disjoint groups.  `ask` gives member `index` of a group its question;
    a member that is not asked (None) takes no part.  `partners`: the least number of nodes a group
    needs.  `params`: every knob with its default; the playbook may set these and no others.
    `refuse`: which knob cannot be so and why; empty: it can run.  `divide`: the groups that a
    planned group falls into with these knobs.  `together`: a campaign loads all that are ready at
    once, though none of them needs another.
    """

    name: str
    about: str
    plan: Callable[[Sequence[Node], Random], Iterable[Round]]
    ask: Callable[[Group, int, int, Params], Question | None]  # group, index, seed, params
    parse: Parse
    yields: tuple[type[Fact], ...]
    params: Params = field(default_factory=dict)
    partners: int = 1
    together: bool = False
    refuse: Callable[[Params], str] = lambda _params: ""
    divide: Callable[[Group, Params], Round] = lambda group, _params: (group,)


@dataclass(frozen=True, slots=True)
class Stage:
    """One trial of a playbook with its knobs set."""

    trial: Trial
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    at_once: int = 128
    connect_s: float = 5.0
    auth_s: float = 15.0
    node_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Soak:
    """What makes a campaign of a burn-in: load that goes on until a node was burnt for `hours`.

    `tick_s`: between conversations with a node.  `silent_s`: of a node, until it is given up.
    `run_on`: the load goes on, to its deadline, when nobody renews the lease.
    `partner_wait_s`: where nodes may still join, until one that nobody meets goes on alone; and
    until those that are ready for a stage of all together begin it without the rest.
    """

    hours: float
    load: tuple[Stage, ...]
    sample_s: float = 10.0
    tick_s: float = 60.0
    silent_s: float = 86400.0
    partner_wait_s: float = 1800.0
    run_on: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """Which findings take their node out of service, and what never happens whatever is found.

    No more than `most_nodes`, nor `most_percent` of all nodes that the scheduler knows (one at
    least), in `window_h`; of each partition `least_left` nodes, and `least_left_percent`, stay
    usable; a fault that `same_fault` nodes have at once drains none of them.  `drain_on`: the
    severities that do; `never`: checks that do not.  `peers_alone`: a comparison with peers
    suffices.  `oldest_h`: findings older than that are not acted on.
    """

    drain_on: tuple[Severity, ...] = (Severity.REBOOT_NODE, Severity.ISOLATE, Severity.RETURN)
    never: tuple[str, ...] = ()
    peers_alone: bool = False
    most_nodes: int = 4  # ours: what a crew looks at in a day
    # Delta's spare nodes for H100 (arXiv 2503.11901): more out than spares takes capacity sold.
    most_percent: float = 5.0
    window_h: float = 24.0  # ours: one night and the day after it
    least_left: int = 1
    least_left_percent: float = 50.0  # NVSentinel's breaker: half of the GPU nodes cordoned
    same_fault: int = 3  # as in shared.py: two nodes may break together by chance
    oldest_h: float = 24.0  # ours: who was repaired since is not drained for yesterday


@dataclass(frozen=True, slots=True)
class Playbook:
    name: str
    about: str = ""
    select: str = ""
    pace: Pace = Pace()
    probes: tuple[Probe, ...] = ()
    stages: tuple[Stage, ...] = ()
    checks: tuple[Check, ...] = ()
    expect: Mapping[str, Limits] = field(default_factory=dict)  # check -> limit name -> Limit
    origin: str = ""
    soak: Soak | None = None
    lease_s: float = 3600.0
    keep_going: bool = False  # a node that fails a stage goes on to the next
    act: Act = Act()


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a run knew and said.  Findings hold every verdict, PASS too: reports filter.

    `earlier` were the readings before a load; `earlier_run` is the id of the run, `past_s` seconds
    ago, whose readings counters were compared with instead.
    """

    id: str
    playbook: Playbook
    nodes: tuple[Node, ...]
    seed: int
    started: datetime
    finished: datetime
    observations: tuple[Observation, ...]
    findings: tuple[Finding, ...]
    verb: Literal["sweep", "burnin", "bandwidth"] = "sweep"
    forced: bool = False  # busy nodes were loaded too
    why: str = ""  # ... in the operator's words
    earlier: tuple[Observation, ...] = ()
    earlier_run: str = ""
    past_s: float | None = None
    complete: bool = True
