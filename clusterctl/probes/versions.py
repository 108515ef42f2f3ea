"""What should be the same on peers: OS, kernel, drivers, firmware, libraries, settings, routes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Probe, Trouble, Version
from clusterctl.spelling import visible
from clusterctl.sysfs import contents, files

# Why each is asked for: what goes wrong on a cluster where one node has another value.  Those that
# the kernel derives from the exact memory size (threads-max, file-max, tcp_mem) differ on twins.
SYSCTLS = {
    "kernel.numa_balancing": "1 migrates pages under running jobs: jitter, slow host copies",
    "kernel.pid_max": "a small one ends large jobs with EAGAIN at fork",
    "kernel.panic": "0 leaves a node that panicked hanging until somebody looks",
    "kernel.yama.ptrace_scope": "above 0, CMA copies of MPI and UCX fall back to slow ones",
    "vm.zone_reclaim_mode": "above 0, allocation stalls although other NUMA nodes have memory",
    "vm.swappiness": "a high one swaps pinned jobs' data loaders out",
    "vm.overcommit_memory": "2 fails the large sparse mappings that CUDA makes",
    "vm.max_map_count": "a small one fails mmap in large checkpoints and object stores",
    "vm.nr_hugepages": "memory set aside that jobs cannot use",
    "vm.min_free_kbytes": "a small one stalls atomic allocations of fast NICs",
    "vm.dirty_ratio": "how much of a checkpoint stalls the writer",
    "vm.dirty_background_ratio": "the same",
    "fs.nr_open": "the ceiling of every job's open-file limit",
    "net.core.rmem_max": "a small one caps TCP below the rate of a fast link",
    "net.core.wmem_max": "the same, sending",
    "net.core.netdev_max_backlog": "a small one drops packets in bursts",
    "net.core.somaxconn": "a small one refuses the rendezvous of a thousand ranks",
    "net.ipv4.tcp_rmem": "caps TCP's window: storage and TCP rendezvous traffic",
    "net.ipv4.tcp_wmem": "the same, sending",
    "net.ipv4.tcp_congestion_control": "bbr beside cubic shares a link unfairly",
    "net.ipv4.tcp_mtu_probing": "0 hangs connections where one switch has a smaller MTU",
    "net.ipv4.ip_local_port_range": "a narrow one runs out of ports in all-to-all rendezvous",
    "net.ipv4.neigh.default.gc_thresh3": "below the number of peers, neighbours are forgotten",
    "net.ipv4.conf.all.rp_filter": "1 drops RoCE and multi-rail answers that come by another port",
    "net.ipv4.conf.all.arp_ignore": "0 answers ARP on the wrong rail",
    "net.ipv4.conf.all.arp_announce": "0 announces the wrong rail's address",
}

# sysfs path -> part
SINGLE = {
    "/proc/sys/kernel/osrelease": "kernel",
    "/proc/sys/kernel/version": "kernel/build",
    "/sys/class/dmi/id/bios_vendor": "firmware/bios_vendor",
    "/sys/class/dmi/id/bios_version": "firmware/bios",
    "/sys/class/dmi/id/bios_date": "firmware/bios_date",
    "/sys/class/dmi/id/board_name": "hardware/board",
    "/sys/class/dmi/id/product_name": "hardware/product",
    "/sys/class/dmi/id/sys_vendor": "hardware/vendor",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "setting/clocksource",
    "/sys/devices/system/cpu/smt/control": "setting/smt",
    "/sys/kernel/iommu_groups/0/type": "setting/iommu",
    "/opt/rocm/.info/version": "library/rocm",
}
CHOSEN = {  # "always [madvise] never"
    "/sys/kernel/mm/transparent_hugepage/enabled": "setting/transparent_hugepage",
    "/sys/kernel/mm/transparent_hugepage/defrag": "setting/transparent_hugepage_defrag",
}
LINKS = {  # where these links lead is the version: libnccl.so.2 -> libnccl.so.2.21.5
    "/etc/alternatives/cuda": "library/cuda",  # before the next, which may only lead here
    "/usr/local/cuda": "library/cuda",
    "/opt/rocm": "library/rocm_folder",
    **{
        f"/usr/{folder}/{name}": f"library/{name.split('.')[0]}"
        for folder in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64")
        for name in ("libnccl.so.2", "libcuda.so.1", "libnvidia-ml.so.1", "libcudnn.so.9")
    },
}
MAY_BE_BLANK = frozenset(path for path in SINGLE if path.startswith("/sys/class/dmi/"))
MODULES = (
    *("nvidia", "nvidia_peermem", "gdrdrv", "amdgpu", "habanalabs", "xe", "i915"),
    *("mlx5_core", "mlx5_ib", "ib_core", "rdma_rxe", "bnxt_en", "bnxt_re", "ice", "irdma", "efa"),
    *("hns3", "hns_roce_hw_v2", "drv_davinci_intf_host", "ascend_driver", "cambricon_drv"),
    *("nvme", "lustre", "mmfs26", "beegfs", "knem", "xpmem"),
)
VERSION_INFO = "/usr/local/Ascend/driver/version.info"  # "Version=24.1.rc3"
NVIDIA = "/proc/driver/nvidia/version"
KERNEL = "/proc/sys/kernel/osrelease"
OS_RELEASE = "/etc/os-release"
CMDLINE = "/proc/cmdline"
ROUTES = "/proc/net/route"
# Pod networks give each node a block of its own: flannel /24, Calico /26.  What is wider is a
# storage network, another rail, a site: what peers reach alike.
WIDEST_BLOCK = 24
BY_GATEWAY, UP = 0x2, 0x1
ROUTE = re.compile(
    r"(\S+)\t([0-9A-F]{8})\t[0-9A-F]{8}\t([0-9A-F]{4})\t\d+\t\d+\t(\d+)\t([0-9A-F]{8})\t.*"
)

# NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
# NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (…)
NVRM = re.compile(
    r"NVRM version: NVIDIA UNIX (Open )?.*?Kernel Module\s.*?\s(\d+\.\d+(?:\.\d+)*)\s"
)
PARAMETER = re.compile(r'(?:"[^"]*"|[^\s"])+')
# Every node has its own: disk, image and address names.  All else on the line is a setting.
OWN = re.compile(
    r"(?:BOOT_IMAGE|root|initrd|resume|ip|rd\.luks\.\w+|rd\.lvm\.\w+|rd\.md\.uuid|ostree|BOOTIF|"
    r"nfsroot|hostname|systemd\.hostname|ifname|rd\.route|cloud-config-url|ds|inst\.\w+)(?:=.*)?"
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    texts, troubles = contents(stdout)
    # EINVAL: the path is no link here but a folder, which names no version
    yield from (t for t in troubles if not (t.part in LINKS and t.detail.endswith("EINVAL")))
    if texts and KERNEL not in texts and not any(t.part == KERNEL for t in troubles):
        yield Trouble(Kind.UNREADABLE, f"{KERNEL} is not in the answer", "kernel")
    found: dict[str, str] = {}
    for path, text in texts.items():
        pairs = [*listed(path, text), *grouped(path, text)]
        if not pairs and path != ROUTES:  # a node may have no gateway
            yield Trouble(Kind.UNREADABLE, f"not asked for: {visible(path, 200)}")
        for part, value in pairs:
            if value:
                found.setdefault(part, visible(value, 2000))
            elif path not in MAY_BE_BLANK:
                yield Trouble(Kind.UNREADABLE, f"{path} says {visible(text, 200)!r}", part)
    for part, value in found.items():
        yield Version(part, value)


def listed(path: str, text: str) -> Iterator[tuple[str, str]]:
    """(part, value) pairs of a file known by its path; an empty value could not be read from it."""
    if path in SINGLE:
        yield SINGLE[path], text.strip()
    elif path in CHOSEN:
        chosen = re.search(r"\[([\w+-]+)\]", text)
        yield CHOSEN[path], chosen[1] if chosen else ""
    elif path == OS_RELEASE:
        yield "os", assigned("PRETTY_NAME", text)
    elif path == VERSION_INFO:
        yield "driver/ascend", assigned("Version", text)
    elif path == CMDLINE:
        yield "cmdline", " ".join(settings(text)) or "(only what differs on every node)"
    elif path == NVIDIA:
        match = NVRM.search(text + " ")
        yield "driver/nvidia", match[2] if match else ""
        yield "driver/nvidia/flavour", ("open" if match[1] else "closed") if match else ""
    elif path == ROUTES:
        yield from routes(text)


def grouped(path: str, text: str) -> Iterator[tuple[str, str]]:
    """The same for a file known by its folder, or by where it leads."""
    if path.removesuffix("@") in LINKS:
        yield LINKS[path.removesuffix("@")], text
    elif name := re.fullmatch(r"/proc/sys/(.+)", path):
        if path not in SINGLE:
            yield f"sysctl/{name[1].replace('/', '.')}", " ".join(text.split())
    elif name := re.fullmatch(r"/sys/module/(\w+)/version", path):
        yield f"driver/{name[1]}", text.strip()
    elif name := re.fullmatch(r"/sys/module/(\w+)/srcversion", path):
        yield f"driver/{name[1]}/srcversion", text.strip()
    elif name := re.fullmatch(r"/sys/class/infiniband/([^/]+)/fw_ver", path):
        yield f"firmware/{name[1]}", text.strip()


def routes(text: str) -> Iterator[tuple[str, str]]:
    """Where packets leave for networks behind a gateway; its address is the rack's own.

    Addresses in this file are hexadecimal, in the byte order of the host, so are masks: x86 and
    ARM nodes write their lowest byte last.  Lines of another form are left out: a long table is
    cut at the reader's cap.
    """
    ways: dict[str, list[str]] = {}
    for line in text.split("\n"):
        found = ROUTE.fullmatch(line.rstrip())
        if found is None:
            continue
        device, network, flags, metric, mask = found.groups()
        wide = int(mask, 16).bit_count()
        if int(flags, 16) & (BY_GATEWAY | UP) != BY_GATEWAY | UP or wide >= WIDEST_BLOCK:
            continue
        address = ".".join(str(byte) for byte in bytes.fromhex(network)[::-1])
        name = f"{address}/{wide}" if wide else "default"
        ways.setdefault(name, []).append(f"{device} metric {metric}")
    for name, hops in ways.items():
        yield f"route/{name}", ", ".join(sorted(dict.fromkeys(hops)))


def assigned(name: str, text: str) -> str:
    """The value of NAME="value"; empty where there is none."""
    match = re.search(rf"(?mi)^{name}=(\"?)([^\n\"]*)\1$", text)
    return match[2] if match else ""


def settings(line: str) -> list[str]:
    return [word for word in PARAMETER.findall(line) if not OWN.fullmatch(word)]


PROBES = (
    Probe(
        files(
            "versions",
            *SINGLE,
            *CHOSEN,
            *(f"{path}@" for path in LINKS),
            *(f"/proc/sys/{name.replace('.', '/')}" for name in SYSCTLS),
            *(
                f"/sys/module/{name}/{kind}"
                for name in MODULES
                for kind in ("version", "srcversion")
            ),
            "/sys/class/infiniband/*/fw_ver",
            *(VERSION_INFO, NVIDIA, OS_RELEASE, CMDLINE, ROUTES),
        ),
        parse,
        yields=(Version,),
        about="OS, kernel, command line, drivers, firmware, libraries, settings and routes",
    ),
)
