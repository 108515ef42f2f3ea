"""Sample what moves on a node and costs next to nothing to look at: files, kernel log, GPUs.

Names are a file's path, gpu3.temp_c, optic.eth0.temp_c, or `nvml`, `kmsg` and `slow`, which say
whether those sources are "ok".  Values are whole numbers or text; "!" and an error's name where it
cannot be read, None where its source is silent.  A sample with `news` holds a change that a healthy
node does not show.
"""

import errno
import glob
import os
import re

# Read at every sample: states, and what tells a load from none.
FILES = (
    "/sys/class/infiniband/*/ports/*/state",
    "/sys/class/infiniband/*/ports/*/counters/symbol_error",
    "/sys/class/infiniband/*/ports/*/counters/link_downed",
    "/sys/class/infiniband/*/ports/*/counters/port_*_data",
    "/sys/class/net/*/carrier_changes",
    "/sys/class/thermal/thermal_zone*/temp",
)
# Read in turn, each within SLOW_TURNS samples: counters, of which nobody misses a rise.
SLOW_FILES = (
    "/sys/class/infiniband/*/ports/*/phys_state",
    "/sys/class/infiniband/*/ports/*/rate",
    "/sys/class/infiniband/*/ports/*/counters/*err*",
    "/sys/class/infiniband/*/ports/*/counters/link_*",
    "/sys/class/infiniband/*/ports/*/counters/*integrity*",
    "/sys/class/infiniband/*/ports/*/counters/*overrun*",
    "/sys/class/infiniband/*/ports/*/counters/*discards",
    "/sys/class/infiniband/*/ports/*/hw_counters/*err*",
    "/sys/class/infiniband/*/ports/*/hw_counters/out_of_*",
    "/sys/class/infiniband/*/ports/*/hw_counters/*retrans*",
    "/sys/class/net/*/statistics/rx_crc_errors",
    "/sys/class/net/*/statistics/?x_errors",
    "/sys/bus/pci/devices/*/aer_dev_correctable",
    "/sys/bus/pci/devices/*/aer_dev_nonfatal",
    "/sys/bus/pci/devices/*/aer_dev_fatal",
    "/sys/devices/system/edac/mc/mc*/?e_count",
    "/sys/devices/system/edac/mc/mc*/dimm*/dimm_?e_count",
    "/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count",
    "/sys/class/infiniband/*/device/current_link_width",
    "/sys/class/infiniband/*/device/current_link_speed",
    "/sys/class/nvme/nvme*/state",
    # What a meter measures takes its time: see sample_slow.py.
    "/sys/class/hwmon/hwmon*/fan*_input",
    "/sys/class/hwmon/hwmon*/fan*_fault",
    "/sys/class/hwmon/hwmon*/fan*_alarm",
    "/sys/class/hwmon/hwmon*/power*_alarm",
)
KERNEL = (
    "NVRM|Xid|mce:|Machine check|EDAC|AER:|nvme |mlx5_|Out of memory|oom-kill|I/O error|hung|"
    "blocked for more than|amdgpu|segfault|soft lockup|Uncorrected|link is not ready|Link is Down"
)
SLOW_TURNS = 6
FULL_S = 3600.0  # so that one bad line of a journal costs no more than an hour of deltas
FILE_BYTES = 4096  # a sysfs attribute is no longer
FILES_AT_MOST = 4096
LINES_AT_MOST = 50  # of the kernel's log, a sample
RECORDS_AT_MOST = 2000
# What moves on a healthy node.  Whatever else changes is news, and its sample says so.
QUIET = re.compile(
    r".*(?:temp_c|temp_memory_c|power_w|clock_[a-z]+_mhz|throttle_mask|sw_power_cap_ns|power_limit_w"
    r"|/port_[a-z]+_data|/temp|/(?:fan|temp|power)\d+_(?:input|average)|(?:meter|psu|optic)\..*)"
)
HOT = re.compile(r"(?:gpu\d+|optic\..*)\.temp_(?:memory_)?c")
OUT = {"psu": re.compile(r"psu\..*\.in_v"), "optic": re.compile(r"optic\..*\.rx\d+_nw")}
OUT_MOST = {"psu": 0, "optic": 100}  # no feed; and -40 dBm, which stands for no light
HOT_C = {"gpu": 80, "opt": 70}  # no temperature below is news; every new highest from here on is
SLOWED = 0x8 | 0x20 | 0x40 | 0x80  # hw_slowdown, sw_thermal, hw_thermal, hw_power_brake: nvml.h
WHOLE = re.compile(r"-?\d{1,20}")
KMSG = re.compile(rb"\d+,\d+,(\d+),[^;]*;(.*)")


def word(error):
    return "!" + errno.errorcode.get(error.errno, str(error.errno))


class Files:
    """Files kept open: opening costs more than reading."""

    def __init__(self, patterns, slow):
        self.patterns, self.slow = patterns, slow
        self.paths, self.open, self.inodes, self.raw = [], [], [], []
        self.quick = 0  # so many of them are read every time
        self.left_out = 0  # so many there were too many
        self.turn = 0

    def look(self):
        """Find them anew: devices come and go."""
        for descriptor in self.open:
            if descriptor is not None:
                os.close(descriptor)
        quick = {path for pattern in self.patterns for path in glob.glob(pattern)}
        slow = {path for pattern in self.slow for path in glob.glob(pattern)} - quick
        every = sorted(quick) + sorted(slow)
        self.paths, self.left_out = every[:FILES_AT_MOST], len(every[FILES_AT_MOST:])
        self.quick = len(quick)
        self.open = [None] * len(self.paths)
        self.inodes = [0] * len(self.paths)
        self.raw = [None] * len(self.paths)

    def reopen(self, index):
        if self.open[index] is not None:
            os.close(self.open[index])
            self.open[index] = None
        self.open[index] = os.open(self.paths[index], os.O_RDONLY | os.O_CLOEXEC)
        self.inodes[index] = os.fstat(self.open[index]).st_ino

    def read(self, index):
        try:
            # A device that went away and came back has another file by the same name.
            if self.open[index] is None or (
                index % SLOW_TURNS == self.turn
                and os.stat(self.paths[index]).st_ino != self.inodes[index]
            ):
                self.reopen(index)
            return os.pread(self.open[index], FILE_BYTES, 0)
        except OSError as error:
            if self.open[index] is not None:
                os.close(self.open[index])
                self.open[index] = None
            return word(error).encode()

    def changes(self):
        """[(index, value)] of those that read otherwise than before."""
        found = []
        self.turn = (self.turn + 1) % SLOW_TURNS
        for index, before in enumerate(self.raw):
            if index >= self.quick and before is not None and index % SLOW_TURNS != self.turn:
                continue
            raw = self.read(index)
            if raw != before:
                self.raw[index] = raw
                found.append((index, value_of(raw)))
        return found


def value_of(raw):
    text = raw.decode("utf-8", "replace").strip()
    return int(text) if WHOLE.fullmatch(text) else text


class KernelLog:
    """New lines that hold one of the words.  `since_s`: of the kernel's clock; None: from now."""

    def __init__(self, words, since_s, path="/dev/kmsg"):
        self.words = re.compile(words.encode())
        self.since_us = 0 if since_s is None else since_s * 1e6
        self.rest = b""
        self.file = None
        self.state = "ok"
        try:
            self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if since_s is None:
                os.lseek(self.file, 0, os.SEEK_END)
        except OSError as error:
            self.state = word(error)

    def read(self):
        """([[seconds, text], …], how many more there were)."""
        lines, more = [], 0
        if self.file is None:
            return lines, more
        for _ in range(RECORDS_AT_MOST):
            try:
                chunk = os.read(self.file, 8192)  # one record of the device, much of a plain file
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten before we came; the next read goes on
                    more += 1
                    continue
                if error.errno != errno.EAGAIN:
                    self.state = word(error)
                break
            if not chunk:
                break
            *whole, self.rest = (self.rest + chunk).split(b"\n")
            for line in whole:
                found = KMSG.match(line)
                if not found or int(found.group(1)) < self.since_us:
                    continue
                if not self.words.search(found.group(2)):
                    continue
                if len(lines) < LINES_AT_MOST:
                    text = found.group(2)[:1000].decode("utf-8", "replace")
                    lines.append([int(found.group(1)) / 1e6, text])
                else:
                    more += 1
        return lines, more


class Sampler:
    """All sources together.  `begin` a sample, then `take` it when it `waits` no longer."""

    def __init__(self, files, log, gpus, slow):
        self.files, self.log, self.gpus, self.slow = files, log, gpus, slow
        self.head = []  # what the last sample said of the states of the sources
        self.names, self.values = [], []  # of GPUs and of slow things
        self.news = News()
        self.full_at = None
        self.asked = False

    def begin(self, now, deadline):
        self.asked = self.gpus.request(full=self.full_due(now), deadline=deadline)

    def waits(self):
        return self.asked and self.gpus.deadline is not None

    def full_due(self, now):
        return self.full_at is None or now - self.full_at >= FULL_S

    def again(self):
        """The next sample is a full one: what was said before was lost."""
        self.full_at = None

    def take(self, now):
        """(the record, the kernel's record or None)."""
        full = self.full_due(now)
        if full:
            self.files.look()
            self.full_at = now
        lines, more = self.log.read()
        kernel = {"k": "kernel", "lines": lines, "more": more} if lines or more else None
        head = [self.gpus.state, self.log.state, self.slow.state]
        changes = self.files.changes()
        names, values = self.gpus.names + self.slow.names, self.gpus.values + self.slow.values
        if full or names != self.names:
            record = {"k": "full", "groups": self.groups(head, names, values)}
            if self.files.left_out:
                record["left_out"] = self.files.left_out
            self.news.learn(record["groups"])
        else:
            base = len(head) + len(values)
            found = differences(self.head, head, 0)
            found += differences(self.values, values, len(head))
            for index, value in changes:
                found += [index + base, value]
            record = {"k": "sample", "d": found}
            if self.news.holds(found):
                record["news"] = 1
        self.head, self.names, self.values = head, names, values
        return record, kernel

    def groups(self, head, names, values):
        """[[folder, [names], [values]], …]; indices of later deltas count through all of them."""
        named = [("", name, state) for name, state in zip(("nvml", "kmsg", "slow"), head)]
        for name, value in zip(names, values):
            named.append((*name.split(".", 1), value))
        for path, raw in zip(self.files.paths, self.files.raw):
            named.append((*os.path.split(path), value_of(raw)))
        found = []
        for folder, name, value in named:
            if not found or found[-1][0] != folder:
                found.append([folder, [], []])
            found[-1][1].append(name)
            found[-1][2].append(value)
        return found


class News:
    """Which changes somebody has to look at: errors, states, what limits a GPU."""

    def __init__(self):
        self.quiet, self.masks = set(), set()
        self.out = {}  # by index, up to which value something has failed
        self.highest = {}  # by index, of what may be too hot

    def learn(self, groups):
        names = []
        for folder, its, _ in groups:
            joint = "/" if folder.startswith("/") else "." if folder else ""
            names += [folder + joint + name for name in its]
        self.quiet = {index for index, name in enumerate(names) if QUIET.fullmatch(name)}
        self.masks = {index for index in self.quiet if names[index].endswith(".throttle_mask")}
        self.out = {
            index: OUT_MOST[kind]
            for kind, wanted in OUT.items()
            for index, name in enumerate(names)
            if wanted.fullmatch(name)
        }
        hot = [index for index in self.quiet if HOT.fullmatch(names[index])]
        self.highest = {index: HOT_C[names[index][:3]] - 1 for index in hot}

    def holds(self, delta):
        found = False
        for index, value in zip(delta[::2], delta[1::2]):
            if index not in self.quiet or isinstance(value, str):
                found = True
            elif index in self.out:
                found = found or (value is not None and value <= self.out[index])
            elif index in self.masks:
                found = found or bool((value or 0) & SLOWED)
            elif value is not None and value > self.highest.get(index, value):
                self.highest[index] = value
                found = True
        return found


def differences(before, now, base):
    """[index, value, …] of what changed between two lists of one length."""
    if before == now:
        return []
    found = []
    for index, value in enumerate(now):
        if value != before[index]:
            found += [index + base, value]
    return found
