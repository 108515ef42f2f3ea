"""Tables of the checks about memory, processors, versions and services."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, gap, row

from clusterctl.model import (
    Accelerator,
    Boot,
    Cpu,
    DeviceProcess,
    Dimm,
    Filesystem,
    Memory,
    Scheduler,
    Service,
    Version,
)

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")


def fleet(usual, odd):
    return {n: odd if n == "n2" else usual for n in NAMES}


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
TEN = tuple(f"n{n}" for n in range(10))
NFS = Filesystem("/data", "nas1:/data", "nfs4", read_only=False)
ROOT = Filesystem("/", "/dev/nvme0n1p2", "ext4", read_only=False, wanted_read_only=False)

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
        "what three have alike is one change, with its share",
        {f"n{i}": V if i < 8 else versions(kernel="5.15.0-91", driver="550.90") for i in range(11)},
        {"n8 driver": "warn", "n9 driver": "warn", "n10 driver": "warn", "n7 versions": "pass"},
        says="not the same on all: 3 of 11 nodes",
    ),
    Row(
        "who changed since the last reading is counted",
        {f"n{i}": V if i < 8 else versions(kernel="5.15.0-91", driver="550.90") for i in range(11)},
        {"n8 driver": "warn", "n9 driver": "warn", "n10 driver": "warn", "n7 versions": "pass"},
        earlier=V,
        says="3 changed to 550.90 since the last reading",
    ),
    Row(
        "a file system of a server that nearly all have",
        {n: V if n == "n2" else (*V, NFS) for n in TEN},
        {"n2 mount//data": "warn", "n1 versions": "pass"},
    ),
    Row(
        "another server under the same name",
        {n: (*V, replace(NFS, device="nas2:/data") if n == "n2" else NFS) for n in TEN},
        {"n2 mount//data": "warn", "n1 versions": "pass"},
    ),
    Row(
        "what automounts as jobs need it is no drift",
        {n: (*V, NFS) if n < "n5" else V for n in TEN},
        {"n2 versions": "pass", "n9 versions": "pass"},
    ),
    Row(
        "what one node alone has mounted harms nobody",
        {n: (*V, NFS) if n == "n2" else V for n in TEN},
        {"n2 versions": "pass"},
    ),
    Row(
        "local disks have names of their own",
        fleet((*V, ROOT), (*V, replace(ROOT, device="/dev/sda2"))),
        {"n2 versions": "pass"},
    ),
    Row(
        "what fstab does not ask for and no server gives is nobody's business",
        fleet(V, (*V, replace(ROOT, part="/mnt", wanted_read_only=None))),
        {"n2 versions": "pass"},
    ),
    Row(
        "what a missing card does not say is no drift",
        fleet((*V, Version("vbios/gpu7", "96.00")), V),
        {"n2 versions": "pass"},
    ),
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
    Row(
        "what was not seen is no drift and no agreement",
        fleet(V, V[:1]),
        {"n2 versions": "unknown", "n1 versions": "pass"},
        gaps={"n2": {Version: gap("driver", "firmware")}},
        says="no answer in 20 s",
    ),
    Row(
        "a part that the silent source never tells of is missed",
        fleet(V, V[:1]),
        {"n2 driver": "warn"},
        gaps={"n2": {Version: gap("firmware")}},
    ),
    Row(
        "another value is one, whatever else was not seen",
        fleet(V, versions(driver="535.1")),
        {"n2 driver": "warn", "n2 versions": "unknown"},
        gaps={"n2": {Version: gap("driver", "kernel")}},
    ),
    Row(
        "a mount that was not asked is not gone",
        {n: V if n == "n2" else (*V, NFS) for n in TEN},
        {"n2 versions": "unknown", "n1 versions": "pass"},
        gaps={"n2": {Filesystem: gap("/data")}},
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

TRAIN = "job 7 of alice (train, running)"

SLURM_JOBS = (
    row("jobs may run in a sweep", Scheduler("slurm", served=True, jobs=(TRAIN,)),
        expect={"slurm": "skip"}),
    row("given to a job", Scheduler("slurm", served=True, jobs=(TRAIN,)),
        limits={"idle": True}, expect={"slurm": "warn"}, says=TRAIN),
    row("idle", Scheduler("slurm", served=True, answered=True),
        limits={"idle": True}, expect={"slurm": "pass"}),
    row("no Slurm", Scheduler("slurm", served=False),
        limits={"idle": True}, expect={"slurm": "skip"}),
)  # fmt: skip

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
    row(
        "into another kernel: somebody meant it, and drift tells of the kernel",
        *(Boot("b", 60.0), Version("kernel", "6.8.0-45")),
        earlier=(Boot("a", 1.0), Version("kernel", "5.15.0-91")),
        same_boot=False,
        expect={"node": "pass"},
        says="into another kernel",
    ),
    row(
        "a setting that changed beside it needs no reboot",
        *(Boot("b", 60.0), Version("sysctl/vm.swappiness", "1")),
        earlier=(Boot("a", 1.0), Version("sysctl/vm.swappiness", "60")),
        same_boot=False,
        expect={"node": "warn"},
    ),
)
IDENTITY = (
    Row(
        "machines of their own",
        {n: (Boot(f"boot-{n}", 60.0),) for n in NAMES},
        {f"{n} node": "pass" for n in NAMES},
    ),
    Row(
        "two names of one machine are neither of them seen twice",
        {n: (Boot("same" if n in {"n1", "n2"} else f"boot-{n}", 60.0),) for n in NAMES},
        {"n1 node": "unknown", "n2 node": "unknown", "n3 node": "pass"},
        says="same machine as n2",
    ),
    row("one name alone", Boot("a", 60.0), expect={"node": "pass"}),
    row("no boot id is not asked", expect={}),
)
TABLES = {
    "identity": IDENTITY,
    "cpu_count": CPU_COUNT,
    "drift": DRIFT,
    "foreign_processes": FOREIGN,
    "memory_errors": MEMORY_ERRORS,
    "memory_size": MEMORY_SIZE,
    "reboot": REBOOT,
    "services": SERVICES,
    "slurm_jobs": SLURM_JOBS,
}
