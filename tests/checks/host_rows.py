"""Tables of the checks about the host: log, clock, disks, memory, versions, burns."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row

from clusterctl.model import (
    Accelerator,
    Boot,
    Burn,
    Clock,
    Cpu,
    DeviceProcess,
    Dimm,
    Drive,
    Filesystem,
    KernelEvent,
    LogWindow,
    Memory,
    Service,
    Version,
)

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
LOG = LogWindow("kmsg", 7200.0, 500)


def fleet(usual, odd):
    return {n: odd if n == "n2" else usual for n in NAMES}


def logged(kind, code, part="", seconds_ago=60.0):
    return KernelEvent(part, kind, code, f"{kind} {code} line", seconds_ago=seconds_ago)


KERNEL = (
    row("quiet", LOG, expect={"kernel log": "pass"}),
    row("no log read", logged("xid", "79"), expect={"kernel log": "unknown"}),
    row(
        "an uncorrected machine check",
        LOG,
        logged("mce", "uncorrected", "cpu3"),
        expect={"cpu3": "fail"},
    ),
    row("a logged machine check", LOG, logged("mce", "logged"), expect={"kernel log": "warn"}),
    row(
        "memory lost data", LOG, logged("edac", "ue", "mc0"), expect={"mc0": "fail"}, says="return"
    ),
    row("memory corrected", LOG, logged("edac", "ce", "mc0"), expect={"mc0": "warn"}),
    row(
        "a fatal PCIe error",
        LOG,
        logged("aer", "Fatal", "0000:1b:00.0"),
        Accelerator("gpu0", pci="0000:1b:00.0"),
        expect={"gpu0": "fail"},
    ),
    row(
        "a non-fatal PCIe error",
        LOG,
        logged("aer", "Non-Fatal", "0000:1b:00.0"),
        expect={"0000:1b:00.0": "warn"},
    ),
    row(
        "a corrected PCIe error is noise",
        LOG,
        logged("aer", "corrected"),
        expect={"kernel log": "pass"},
    ),
    row("a drive gone", LOG, logged("nvme", "removed", "nvme0"), expect={"nvme0": "fail"}),
    row("a drive late", LOG, logged("nvme", "timeout", "nvme0"), expect={"nvme0": "warn"}),
    row(
        "firmware stuck",
        LOG,
        logged("mlx5", "health_compromised", "0000:d2:00.0"),
        expect={"0000:d2:00.0": "fail"},
    ),
    row(
        "an unplugged cable is noise",
        LOG,
        logged("mlx5", "unplugged"),
        expect={"kernel log": "pass"},
    ),
    row("remounted read-only", LOG, logged("disk", "read_only", "sda1"), expect={"sda1": "fail"}),
    row("a hung task", LOG, logged("hung", "task"), expect={"kernel log": "warn"}),
    row("a lock-up", LOG, logged("hung", "soft_lockup", "cpu1"), expect={"cpu1": "fail"}),
    row(
        "before the last boot it is history",
        LOG,
        logged("hung", "panic", seconds_ago=9000.0),
        Boot("b", 60.0),
        expect={"kernel log": "warn"},
        says="before the last boot",
    ),
    row("a kind of tomorrow", LOG, logged("moon", "phase"), expect={"kernel log": "warn"}),
    row(
        "others' lines are left to others",
        LOG,
        logged("xid", "79"),
        logged("link", "down"),
        expect={"kernel log": "pass"},
    ),
)
OOM = (
    row("none", LOG, expect={"memory": "pass"}),
    row("one killed", LOG, logged("oom", "killed"), expect={"memory": "warn"}, says="restart-job"),
    row(
        "one killed days ago",
        LOG,
        logged("oom", "killed", seconds_ago=200_000.0),
        expect={"memory": "pass"},
    ),
    row("no log read", LogWindow("kmsg", None, 0), expect={"memory": "unknown"}),
)
CLOCK = (
    row("right", Clock("chrony", synchronised=True, offset_s=0.0002), expect={"chrony": "pass"}),
    row(
        "a little off", Clock("chrony", synchronised=True, offset_s=-0.2), expect={"chrony": "warn"}
    ),
    row("far off", Clock("chrony", synchronised=True, offset_s=3.0), expect={"chrony": "fail"}),
    row("not synchronised", Clock("timex", synchronised=False), expect={"timex": "warn"}),
    row(
        "the daemon is believed before the kernel's flag",
        Clock("timex", synchronised=False),
        Clock("chrony", synchronised=True, offset_s=0.0001),
        expect={"chrony": "pass", "timex": "skip"},
    ),
    row(
        "synchronised, offset not told", Clock("timex", synchronised=True), expect={"timex": "pass"}
    ),
    row("does not say", Clock("ntp", None), expect={"ntp": "unknown"}),
    row(
        "the daemon's offset is better than the kernel's",
        Clock("timex", synchronised=True, offset_s=0.001),
        Clock("chrony", synchronised=True, offset_s=0.002),
        expect={"chrony": "pass", "timex": "skip"},
    ),
    row(
        "an offset is better than none",
        Clock("chrony", synchronised=True),
        Clock("timex", synchronised=True, offset_s=3.0),
        expect={"timex": "fail", "chrony": "skip"},
        says="isolate",
    ),
    row("128 ms may be", Clock("ntp", synchronised=True, offset_s=0.128), expect={"ntp": "pass"}),
)
GB = 10**9
ROOT = Filesystem(
    "/",
    "/dev/sda1",
    "ext4",
    read_only=False,
    wanted_read_only=False,
    size_bytes=100 * GB,
    available_bytes=50 * GB,
    inodes=1000,
    inodes_available=500,
)
SPACE = (
    row("half free", ROOT, expect={"/": "pass"}),
    row("five per cent free", replace(ROOT, available_bytes=5 * GB), expect={"/": "warn"}),
    row(
        "400 MB free of 20 GB",
        replace(ROOT, size_bytes=20 * GB, available_bytes=4 * GB // 10),
        expect={"/": "fail"},
    ),
    row("full", replace(ROOT, available_bytes=0), expect={"/": "fail"}),
    row(
        "a small one full",
        replace(ROOT, size_bytes=64 << 20, available_bytes=0),
        expect={"/": "fail"},
    ),
    row(
        "a small one half full",
        replace(ROOT, size_bytes=64 << 20, available_bytes=32 << 20),
        expect={"/": "pass"},
    ),
    row("out of inodes", replace(ROOT, inodes_available=0), expect={"/": "fail"}),
    row(
        "an image is full by nature",
        replace(ROOT, fstype="squashfs", available_bytes=0),
        expect={"/": "skip"},
    ),
    row(
        "not mounted is another's",
        replace(ROOT, mounted=False, available_bytes=0),
        expect={"/": "skip"},
    ),
    row(
        "size not told, as peers do",
        replace(ROOT, size_bytes=None, inodes=None),
        reported=frozenset({("Filesystem", "", "size_bytes")}),
        expect={"/": "unknown"},
    ),
    row("ten per cent free", replace(ROOT, available_bytes=10 * GB), expect={"/": "pass"}),
    row("exactly 1 % of inodes", replace(ROOT, inodes_available=10), expect={"/": "pass"}),
    row("no size", replace(ROOT, size_bytes=0, inodes=None), expect={"/": "skip"}),
)
READ_ONLY = (
    row("writable", ROOT, expect={"/": "pass"}),
    row(
        "read-only and fstab wants it writable",
        replace(ROOT, part="/data", read_only=True),
        expect={"/data": "fail"},
    ),
    row(
        "read-only as fstab wants",
        replace(ROOT, read_only=True, wanted_read_only=True),
        expect={"/": "pass"},
    ),
    row(
        "a read-only root that fstab does not know",
        replace(ROOT, read_only=True, wanted_read_only=None),
        expect={"/": "fail"},
    ),
    row(
        "an immutable root",
        replace(ROOT, fstype="squashfs", read_only=True, wanted_read_only=None),
        expect={"/": "skip"},
    ),
    row(
        "a read-only image elsewhere",
        replace(ROOT, part="/snap", read_only=True, wanted_read_only=None),
        expect={"/snap": "skip"},
    ),
    row(
        "in fstab and not there",
        replace(ROOT, part="/data", mounted=False),
        expect={"/data": "fail"},
    ),
)
NVME = Drive(
    "nvme0",
    "PM9",
    "s1",
    state="live",
    critical_warning=0,
    spare_percent=100.0,
    spare_threshold_percent=10.0,
    used_percent=3.0,
    media_errors=2,
)
DISK = (
    row("healthy", NVME, expect={"nvme0": "pass"}),
    row("dead", replace(NVME, state="dead"), expect={"nvme0": "fail"}),
    row("resetting", replace(NVME, state="resetting"), expect={"nvme0": "warn"}),
    row("read-only by itself", replace(NVME, critical_warning=0x08), expect={"nvme0": "fail"}),
    row("hot", replace(NVME, critical_warning=0x02), expect={"nvme0": "warn"}),
    row("a bit of tomorrow", replace(NVME, critical_warning=0x80), expect={"nvme0": "fail"}),
    row("little spare", replace(NVME, spare_percent=5.0), expect={"nvme0": "fail"}),
    row("worn", replace(NVME, used_percent=104.0), expect={"nvme0": "warn"}),
    row(
        "a new media error",
        NVME,
        earlier=(replace(NVME, media_errors=1),),
        expect={"nvme0": "warn"},
    ),
    row(
        "a new drive in this slot",
        NVME,
        earlier=(replace(NVME, media_errors=1, serial="s0"),),
        expect={"nvme0": "pass"},
    ),
    row("says nothing", Drive("sda"), expect={"sda": "skip"}),
    row(
        "silent where peers speak",
        replace(NVME, critical_warning=None),
        reported=frozenset({("Drive", "PM9", "critical_warning")}),
        expect={"nvme0": "unknown"},
    ),
    row(
        "as much spare as it must have", replace(NVME, spare_percent=10.0), expect={"nvme0": "pass"}
    ),
    row("used up as planned", replace(NVME, used_percent=100.0), expect={"nvme0": "warn"}),
    row("no new media error", NVME, earlier=(NVME,), expect={"nvme0": "pass"}),
    row("media errors alone, read first", Drive("sda", media_errors=1), expect={"sda": "skip"}),
    row("spare without its threshold", Drive("sda", spare_percent=1.0), expect={"sda": "skip"}),
    row(
        "a threshold without spare",
        Drive("sda", "M", spare_threshold_percent=1.0),
        reported=frozenset({("Drive", "M", "spare_percent")}),
        expect={"sda": "unknown"},
    ),
)
RAM = Memory("memory", 2048 << 30, hardware_corrupted_bytes=0)
MEMORY_SIZE = (
    row("as expected", RAM, limits={"total_bytes": 2000 << 30}, expect={"memory": "pass"}),
    row("less than expected", RAM, limits={"total_bytes": 2100 << 30}, expect={"memory": "fail"}),
    row("alone, its size is compared with nothing", RAM, expect={"memory": "skip"}),
    row("alone and corruption not counted", Memory("memory", 1 << 30), expect={"memory": "skip"}),
    row("broken pages", replace(RAM, hardware_corrupted_bytes=4096), expect={"memory": "warn"}),
    Row(
        "a DIMM of 32 is missing",
        fleet((RAM,), (Memory("memory", 1984 << 30),)),
        {"n2 memory": "fail", "n1 memory": "pass"},
    ),
    Row(
        "a few MB less are the kernel's own",
        fleet((RAM,), (Memory("memory", (2048 << 30) - (50 << 20)),)),
        {"n2 memory": "pass"},
    ),
    Row(
        "three nodes are enough to tell",
        {"n1": (RAM,), "n2": (RAM,), "n3": (Memory("memory", 1024 << 30),)},
        {"n3 memory": "fail", "n1 memory": "pass"},
    ),
    row("exactly as expected", RAM, limits={"total_bytes": 2048 << 30}, expect={"memory": "pass"}),
)
DIMM = Dimm("mc0/dimm3", "A1", corrected=0, uncorrected=0)
MEMORY_ERRORS = (
    row("none", DIMM, expect={"mc0/dimm3": "pass"}),
    row("lost data", replace(DIMM, uncorrected=1), expect={"mc0/dimm3": "fail"}, says="return"),
    row(
        "few since boot",
        replace(DIMM, corrected=10),
        Boot("b", 86400.0 * 10),
        expect={"mc0/dimm3": "pass"},
    ),
    row(
        "many since boot",
        replace(DIMM, corrected=1000),
        Boot("b", 86400.0 * 10),
        expect={"mc0/dimm3": "warn"},
    ),
    row(
        "many between readings",
        replace(DIMM, corrected=1000),
        earlier=(DIMM,),
        expect={"mc0/dimm3": "warn"},
    ),
    row("in what time nobody knows", replace(DIMM, corrected=10), expect={"mc0/dimm3": "unknown"}),
    row("not counted", Dimm("mc0"), expect={"mc0": "skip"}),
    row(
        "fifty a day may be",
        replace(DIMM, corrected=50),
        Boot("b", 86400.0),
        expect={"mc0/dimm3": "pass"},
    ),
)
CPU = Cpu("cpu", "Xeon", sockets=2, cores=96, threads=192, online=192)
CPU_COUNT = (
    row("all there", CPU, limits={"threads": 192}, expect={"cpu": "pass"}),
    row(
        "half there",
        replace(CPU, threads=96, online=96),
        limits={"threads": 192},
        expect={"cpu": "fail"},
    ),
    row("some switched off", replace(CPU, online=190), expect={"cpu": "warn"}),
    row("nothing to compare with", replace(CPU, threads=None), expect={"cpu": "skip"}),
    row(
        "silent where peers speak",
        replace(CPU, online=None),
        reported=frozenset({("Cpu", "Xeon", "online")}),
        expect={"cpu": "unknown"},
    ),
    Row(
        "a socket less than its peers",
        fleet((CPU,), (replace(CPU, threads=96, online=96),)),
        {"n2 cpu": "fail", "n1 cpu": "pass"},
    ),
)


def versions(**values):
    return tuple(Version(part, value) for part, value in values.items())


V = versions(kernel="5.15.0-91", driver="550.54")
DRIFT = (
    row("too few peers", *V, expect={"versions": "skip"}),
    Row("all agree", dict.fromkeys(NAMES, V), {"n2 versions": "pass"}),
    Row(
        "one has another driver",
        fleet(V, versions(kernel="5.15.0-91", driver="535.1")),
        {"n2 driver": "warn", "n1 versions": "pass"},
    ),
    Row("one lacks a part", fleet(V, V[:1]), {"n2 driver": "warn", "n1 versions": "pass"}),
    Row(
        "own names and disks are no drift",
        {
            n: versions(
                cmdline=f"root=UUID=9c8f{i}a0e-0000-4000-8000-00000000000{i} host={n} quiet"
            )
            for i, n in enumerate(NAMES)
        },
        {"n1 versions": "pass"},
    ),
    Row(
        "half and half is told to all",
        {n: versions(kernel="a" if i % 2 else "b") for i, n in enumerate(NAMES)},
        {f"{n} kernel": "warn" for n in NAMES},
    ),
    Row(
        "other kinds of node are no peers",
        {
            n: (*versions(kernel="a" if i < 3 else "b"), Cpu("cpu", "X" if i < 3 else "Y"))
            for i, n in enumerate(NAMES)
        },
        {"n1 versions": "pass", "n6 versions": "pass"},
    ),
)
GPU = Accelerator("gpu0")
PYTHON = DeviceProcess("gpu0", 4242, "python3")
FOREIGN = (
    row("jobs may run in a sweep", GPU, PYTHON, expect={"accelerators": "skip"}),
    row("idle and empty", GPU, limits={"idle": True}, expect={"gpu0": "pass"}),
    row(
        "idle and in use",
        GPU,
        PYTHON,
        limits={"idle": True},
        expect={"gpu0": "warn"},
        says="python3 (4242)",
    ),
    row(
        "monitoring is allowed",
        GPU,
        DeviceProcess("gpu0", 7, "/usr/bin/nv-hostengine"),
        limits={"idle": True},
        expect={"gpu0": "pass"},
    ),
    row("no accelerator", limits={"idle": True}, expect={"accelerators": "skip"}),
)
SERVICES = (
    row("runs", Service("sshd", "active", enabled=True), expect={"sshd": "pass"}),
    row("failed", Service("cups", "failed", enabled=True), expect={"cups": "warn"}),
    row(
        "enabled and not running",
        Service("chrony", "inactive", enabled=True),
        expect={"chrony": "warn"},
    ),
    row("not enabled", Service("cups", "inactive", enabled=False), expect={"cups": "skip"}),
    row(
        "needed and failed",
        Service("slurmd", "failed", enabled=True),
        limits={"needed": ("slurmd",)},
        expect={"slurmd": "fail"},
    ),
    row(
        "needed and nowhere",
        Service("sshd", "active"),
        limits={"needed": ("slurmd.service",)},
        expect={"slurmd": "unknown", "sshd": "pass"},
    ),
)
REBOOT = (
    row("first reading", Boot("a", 60.0), expect={"node": "skip"}),
    row("the same boot", Boot("a", 60.0), earlier=(Boot("a", 1.0),), expect={"node": "pass"}),
    row(
        "another boot",
        Boot("b", 60.0),
        earlier=(Boot("a", 1.0),),
        same_boot=False,
        expect={"node": "warn"},
    ),
    row(
        "a known boot that is not the last reading's",
        Boot("a", 60.0),
        earlier=(Boot("a", 1.0),),
        same_boot=False,
        expect={"node": "warn"},
    ),
)
BURN = Burn(
    "cpu", "stress-ng", 60.0, amount=1e9, unit="operations", rate=100.0, rate_unit="gop_s", errors=0
)
BURN_ERRORS = (
    row("right", BURN, expect={"cpu": "pass"}),
    row("one wrong", replace(BURN, errors=1), expect={"cpu": "fail"}, says="isolate"),
    row("not checked is not right", replace(BURN, errors=None), expect={"cpu": "unknown"}),
    row("nothing computed", replace(BURN, rate=0.0), expect={"cpu": "fail"}),
    row(
        "says nothing of what it computed",
        replace(BURN, rate=None, amount=None),
        expect={"cpu": "unknown"},
    ),
    row("an amount is work too", replace(BURN, rate=None), expect={"cpu": "pass"}),
)


def burned(rate):
    return {
        n: (replace(BURN, rate=rate if n == "n2" else 100.0 + i / 10),) for i, n in enumerate(NAMES)
    }


BURN_RATE = (
    row("above its floor", BURN, limits={"cpu_gop_s": 90}, expect={"cpu": "pass"}),
    row("below its floor", BURN, limits={"cpu_gop_s": 110}, expect={"cpu": "fail"}),
    row("above its ceiling", BURN, limits={"cpu_gop_s_ceiling": 99}, expect={"cpu": "unknown"}),
    row("no rate", replace(BURN, rate=None), expect={"cpu": "unknown"}),
    row("zero is not slow, it is nothing", replace(BURN, rate=0.0), expect={"cpu": "fail"}),
    row("no floor and no peers", BURN, expect={"cpu": "skip"}),
    Row("half as fast as its peers", burned(50.0), {"n2 cpu": "fail", "n1 cpu": "pass"}),
    Row("seven per cent slower", burned(93.0), {"n2 cpu": "warn"}),
    Row("one per cent slower is the same", burned(99.0), {"n2 cpu": "pass"}),
    Row("faster is no fault", burned(120.0), {"n2 cpu": "pass"}),
    Row("a hundred times faster is a broken test", burned(1e4), {"n2 cpu": "unknown"}),
    row("exactly its floor", BURN, limits={"cpu_gop_s": 100}, expect={"cpu": "pass"}),
    row(
        "exactly its ceiling",
        BURN,
        limits={"cpu_gop_s": 90, "cpu_gop_s_ceiling": 100},
        expect={"cpu": "pass"},
    ),
)
TABLES = {
    "burn_errors": BURN_ERRORS,
    "burn_rate": BURN_RATE,
    "clock_offset": CLOCK,
    "cpu_count": CPU_COUNT,
    "disk_health": DISK,
    "disk_space": SPACE,
    "drift": DRIFT,
    "foreign_processes": FOREIGN,
    "kernel_faults": KERNEL,
    "memory_errors": MEMORY_ERRORS,
    "memory_size": MEMORY_SIZE,
    "oom": OOM,
    "read_only": READ_ONLY,
    "reboot": REBOOT,
    "services": SERVICES,
}
