"""What a node counts that may slow a job: processors, memory, disks, NICs, limits of groups.

All of it is read from /proc and /sys, and queues of NICs from the kernel by netlink.  Names are
flat: cpu.steal, pressure.io.some, disk.sda.read_ms, nic.eth0.tx_bytes, queue.eth0.drops,
rdma.mlx5_0/1.out_of_sequence, tcp.RetransSegs, nfs./data.READ.rtt_ms.
"""

import glob
import os
import socket
import struct

from job_processes import read, stat_of

CPU = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
MEMORY = (
    "pswpin",
    "pswpout",
    "pgmajfault",
    "pgscan_direct",
    "pgsteal_direct",
    "numa_hit",
    "numa_miss",
    "numa_foreign",
    "compact_stall",
    "oom_kill",
)
TCP = ("RetransSegs", "OutSegs", "InSegs", "TCPTimeouts", "TCPLostRetransmit", "ListenDrops")
NIC = (
    "rx_bytes",
    "tx_bytes",
    "rx_packets",
    "tx_packets",
    "rx_dropped",
    "tx_dropped",
    "rx_errors",
    "tx_errors",
    "rx_missed_errors",
    "rx_fifo_errors",
)
OPERATIONS = ("READ:", "WRITE:", "GETATTR:", "OPEN:", "LOOKUP:", "ACCESS:", "COMMIT:")
CLOCKS = 16  # processors whose clock is read: a look at one that sleeps may wake it
NOT_DISKS = ("loop", "ram", "zram", "dm-", "md")
FOREIGNERS = 5


def numbers(text):
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            yield words[0], int(words[1])


def processors(found):
    for line in read("/proc/stat", 1 << 20).splitlines():
        words = line.split()
        if words[:1] == ["cpu"]:
            for name, ticks in zip(CPU, words[1:]):
                found["cpu." + name] = int(ticks)
        elif words[:1] in (["procs_running"], ["procs_blocked"]):
            found["now." + words[0]] = int(words[1])
    for kind in ("cpu", "io", "memory"):
        for line in read("/proc/pressure/" + kind, 400).splitlines():
            words = line.split()
            if words[-1].startswith("total="):
                found["pressure.%s.%s" % (kind, words[0])] = int(words[-1][6:])
    paths = sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    clocks = [read(path, 40).strip() for path in paths[:: len(paths) // CLOCKS + 1]]
    khz = [int(text) for text in clocks if text.isdigit()]
    if khz:
        found["now.mhz"] = max(khz) / 1000.0
    for path in glob.glob("/sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count"):
        text = read(path, 40).strip()
        if text.isdigit():
            found["cpu.throttled"] = max(found.get("cpu.throttled", 0), int(text))


def memory(found):
    for name, value in numbers(read("/proc/vmstat")):
        if name in MEMORY or name.startswith("allocstall"):
            found["memory." + name] = value


def disks(found):
    for line in read("/proc/diskstats").splitlines():
        words = line.split()
        if len(words) < 14 or words[2].startswith(NOT_DISKS) or words[3] == words[7] == "0":
            continue
        if not os.path.exists("/sys/block/" + words[2].replace("/", "!")):
            continue  # a part of one
        for place, name in ((3, "reads"), (6, "read_ms"), (7, "writes"), (10, "write_ms")):
            found["disk.%s.%s" % (words[2], name)] = int(words[place])


def shares(found, text):
    """NFS, of /proc/PID/mountstats: what each operation waited in all.

    net/sunrpc/stats.c, per-op statistics 1.1: operations, transmissions, major timeouts, bytes
    sent and received, and ms in the queue, until the answer, and in all.
    """
    place = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["device"] and "mounted" in words:
            place = words[words.index("on") + 1] if " with fstype nfs" in line else ""
        elif place and len(words) >= 9 and words[0] in OPERATIONS:
            name = "nfs.%s.%s" % (place, words[0][:-1])
            for at, kind in ((1, "operations"), (2, "sent"), (3, "timeouts"), (7, "rtt_ms")):
                found["%s.%s" % (name, kind)] = int(words[at])


def networks(found):
    for path in glob.glob("/sys/class/net/*"):
        name = path[15:]
        if name != "lo":
            for counter in NIC:
                text = read("%s/statistics/%s" % (path, counter), 40).strip()
                if text.isdigit():
                    found["nic.%s.%s" % (name, counter)] = int(text)
    for line in read("/proc/self/net/dev").splitlines()[2:]:  # where /sys is not this name space's
        name, _, rest = line.partition(":")
        words, name = rest.split(), name.strip()
        if name != "lo" and len(words) == 16:
            for place, counter in ((0, "rx_bytes"), (8, "tx_bytes"), (3, "rx_dropped")):
                found["nic.%s.%s" % (name, counter)] = int(words[place])
            found["nic.%s.tx_dropped" % name] = int(words[11])
    for folder in glob.glob("/sys/class/infiniband/*/ports/*"):
        words = folder.split("/")
        for path in glob.glob(folder + "/counters/*") + glob.glob(folder + "/hw_counters/*"):
            text = read(path, 40).strip()
            if text.isdigit():
                found["rdma.%s/%s.%s" % (words[4], words[6], os.path.basename(path))] = int(text)
    for path in ("/proc/self/net/snmp", "/proc/self/net/netstat"):
        lines = read(path).splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            for name, value in zip(names.split()[1:], values.split()[1:]):
                if name in TCP and names.startswith("Tcp"):
                    found["tcp." + name] = int(value)


def queues(found):
    """The root queue of every NIC, as `tc -s qdisc` shows it: linux/gen_stats.h."""
    wire = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    try:
        wire.settimeout(1.0)
        wire.send(struct.pack("=IHHIIBBHiIII", 36, 38, 0x301, 1, 0, 0, 0, 0, 0, 0, 0, 0))
        while True:
            part = wire.recv(1 << 17)
            at = 0
            while at + 16 <= len(part):
                length, kind = struct.unpack_from("=IH", part, at)
                if kind in (2, 3) or length < 16:  # an error, or done
                    return
                index, _, parent = struct.unpack_from("=iII", part, at + 20)
                if parent == 0xFFFFFFFF:  # TC_H_ROOT
                    one_queue(found, index, attributes(part, at + 36, at + length))
                at += (length + 3) & ~3
    except OSError:
        return
    finally:
        wire.close()


def attributes(part, at, end):
    found = {}
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", part, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = part[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def one_queue(found, index, told):
    try:
        name = socket.if_indextoname(index)
    except OSError:
        return
    stats = attributes(told.get(7, b""), 0, len(told.get(7, b"")))  # TCA_STATS2
    if len(stats.get(3, b"")) >= 20 and name != "lo":  # TCA_STATS_QUEUE
        length, backlog, drops, _, over = struct.unpack_from("=5I", stats[3])
        del length
        kind = told.get(1, b"").split(b"\0")[0].decode("ascii", "replace")
        found["queue.%s.drops" % name] = drops
        found["queue.%s.over" % name] = over
        found["now.backlog.%s" % name] = backlog
        found["text.queue.%s" % name] = kind


def counters(pid="self"):
    """Numbers that only grow, and under `now.` and `text.` what is so at this moment.

    Mounts are those that process `pid` sees: a container has its own.
    """
    found = {}

    def mounted(found):
        shares(found, read("/proc/%s/mountstats" % pid, 1 << 20))

    for source in (processors, memory, disks, mounted, networks, queues):
        try:
            source(found)
        except (OSError, ValueError, IndexError) as error:
            found["text.trouble.%s" % source.__name__] = str(error)[:200]
    return found


# ----------------------------------------------------------------------------- limits of groups


def mounts():
    """[(kinds, the group that is mounted, where)] of both versions."""
    found = []
    for line in read("/proc/self/mountinfo", 1 << 20).splitlines():
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if len(words) > 4 and len(kind) > 2 and kind[0] in ("cgroup", "cgroup2"):
            kinds = {""} if kind[0] == "cgroup2" else set(kind[2].split(","))
            found.append((kinds, words[3].rstrip("/"), words[4]))
    return found


def limits(text, places):
    """Folders of the group, and of those above it, that may hold a limit of CPU time."""
    found = []
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        for mounted, top, where in places:
            if not (mounted & set(kinds.split(",")) and ("" in mounted or "cpu" in mounted)):
                continue
            inner = path[len(top) :] if path[: len(top)] == top else path
            while True:
                folder = where + inner.rstrip("/")
                if os.path.exists(folder + "/cpu.stat") and folder not in found:
                    found.append(folder)
                if not inner.strip("/"):
                    break
                inner = os.path.dirname(inner.rstrip("/"))
    return found


def throttled(folders):
    """How long they were held back, the worst of them, and what it is allowed: in processors."""
    worst = None
    for folder in folders:
        told = dict(numbers(read(folder + "/cpu.stat", 4096)))
        if "nr_throttled" not in told:
            continue
        spent = told.get("throttled_usec", told.get("throttled_time", 0) // 1000)
        allowed = None
        words = read(folder + "/cpu.max", 80).split()
        if not words:
            words = [
                read(folder + "/cpu.cfs_%s_us" % one, 40).strip() for one in ("quota", "period")
            ]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            allowed = int(words[0]) / int(words[1])
        one = {"us": spent, "times": told["nr_throttled"], "allowed": allowed, "group": folder}
        if worst is None or (allowed is not None and (one["us"] > worst["us"])):
            worst = one
    return worst


def spent_by_all():
    """{pid: (command, ticks)} of every process of the node."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = stat_of(int(name))
            if stat:
                found[int(name)] = (stat[0], int(stat[1][11]) + int(stat[1][12]))
    return found


def foreigners(before, after, own):
    """Who else used the processors: [command, how many of them, ticks], most first."""
    sums = {}
    for pid, (name, ticks) in after.items():
        used = ticks - (before[pid][1] if pid in before else 0)
        if pid not in own and used > 0:
            count, all_ticks = sums.get(name, (0, 0))
            sums[name] = (count + 1, all_ticks + used)
    most = sorted(sums.items(), key=lambda one: -one[1][1])[:FOREIGNERS]
    return [[name[:40], count, ticks] for name, (count, ticks) in most]
