"""Sample a job's rhythm until nobody listens: what its NICs sent, what its ranks computed.

Argument: a JSON object: every (seconds between looks), say_every (seconds between lines), share (of
one processor that looks may take), and whose processes: pids, slurm, pods; none of these: everybody
that has a rank; job: of several the one wanted.

Prints a JSON object a line, `k` says which:

    job     ranks ([pid, rank, job] each), hidden (processes that may not be looked at), channels
    part    n, at (seconds: when the first step began), dt (tenths of a millisecond from look to
            look), spent_s (of a processor, until now),
            and by channel what each look added: cpu in microseconds of main threads, sent and rdma
            in bytes; a channel in which nothing moved is left out
    trouble what, detail

Looks come at random moments, so that they keep no step with the job's own.  A look reads a few
files that stay open.  Where looks take more than their share, they become fewer.
"""

import glob
import json
import os
import sys
import time

import job_processes

XMIT_WORD = 4  # bytes that port_xmit_data counts as one: IBTA's PortCounters
BUSIEST = 2  # RDMA ports that are read on: each reading is a command to firmware
SLOWEST_S = 1.0
SPREAD = 0.8  # of the time between looks, that chance decides
EVERYWHERE, MANY = "/proc/%d/net/dev", 16  # interfaces: a microsecond or two each


def say(kind, **cells):
    sys.stdout.write(json.dumps(dict(cells, k=kind), separators=(",", ":")) + "\n")
    sys.stdout.flush()


class Counter:
    """One file of numbers that only grow.  It stays open: a look is one system call."""

    def __init__(self, channel, path, read, unit=1):
        self.channel, self.read, self.unit = channel, read, unit
        self.most = 1 << 16 if read is sent_by_all else 256
        self.file = os.open(path, os.O_RDONLY)
        self.last = self.read(os.pread(self.file, self.most, 0))
        self.grown = 0

    def step(self):
        """What was added.  Raises OSError, ValueError, IndexError where it is gone."""
        now = self.read(os.pread(self.file, self.most, 0))
        added, self.last = max(0, now - self.last), now
        self.grown += added
        return added * self.unit

    def close(self):
        os.close(self.file)


def first_word(text):
    return int(text.split()[0])


def sent_by_all(text):
    """Of /proc/PID/net/dev: bytes sent, over everything but the loopback."""
    total = 0
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        words = rest.split()
        if name.strip() != b"lo" and len(words) == 16:
            total += int(words[8])
    return total


def opened(channel, path, read, unit=1):
    """At most one: what cannot be read is not there."""
    try:
        return [Counter(channel, path, read, unit)]
    except (OSError, ValueError, IndexError):
        return []


def wires(pid):
    """What the rank's name space sends, whatever /sys shows; of many interfaces, the hardware's."""
    path = EVERYWHERE % pid
    lines = job_processes.read(path).splitlines()[2:]
    names = {line.partition(":")[0].strip() for line in lines}
    found = []
    if len(names) > MANY:
        for place in sorted(glob.glob("/sys/class/net/*/device")):
            if place.split("/")[-2] in names:
                found += opened("sent", place[:-6] + "statistics/tx_bytes", first_word)
    found = found or opened("sent", path, sent_by_all)
    for port in sorted(glob.glob("/sys/class/infiniband/*/ports/*")):
        path = port + "/counters/port_xmit_data"
        found += opened("rdma", path, first_word, XMIT_WORD) or opened(
            "rdma", port + "/hw_counters/tx_bytes", first_word
        )
    return found


def alive(pid):
    """Not one that has ended and that nobody has waited for."""
    stat = job_processes.stat_of(pid)
    return stat is not None and stat[1][0] not in "ZX"


class Sampler:
    """The ranks of this node and what is read of them."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.every = wanted["every"]
        self.pids, self.counters = (), []
        self.parts = self.number = 0
        self.last = 0.0  # when the latest look was
        self.told = None

    def search(self):
        """Who the ranks are now; says so where it is news, or where there are none."""
        ranks, hidden = job_processes.ranks(self.wanted)
        ranks = [one for one in ranks if alive(one["pid"])]
        names = [[one["pid"], one["rank"], one["job"]] for one in ranks]
        ranks = [one for one in ranks if self.wanted.get("job") in (None, "", one["job"])]
        pids = tuple(sorted(one["pid"] for one in ranks))
        if pids != self.pids or not self.counters:
            for one in self.counters:
                one.close()
            self.pids = pids
            self.counters = wires(pids[0]) if pids else []
            for pid in pids:
                self.counters += opened("cpu", "/proc/%d/schedstat" % pid, first_word)
            self.last = time.monotonic()
        channels = sorted({one.channel for one in self.counters})
        if (names, hidden, channels) != self.told or not pids:
            self.told = (names, hidden, channels)
            say("job", ranks=names, hidden=hidden, channels=channels)

    def look(self, sums):
        """Whether all are still there."""
        whole = True
        for one in list(self.counters):
            try:
                added = one.step()
            except (OSError, ValueError, IndexError):
                one.close()
                self.counters.remove(one)
                whole = False
                continue
            sums[one.channel] += added
        return whole

    def part(self):
        """Looks for as long as a line covers, and says it.  Whether the same ranks still run."""
        seconds, every = self.wanted["say_every"], self.every
        rows = {one.channel: [] for one in self.counters}
        steps, whole = [], True
        spent, began = time.process_time(), time.monotonic()
        begin = last = self.last
        start = began
        while whole and last - began < seconds:
            start += every
            at = start - every * SPREAD * self.chance()
            time.sleep(max(0.0, at - time.monotonic()))
            now = time.monotonic()
            if now > start + every:  # held up: what was missed is one long look
                start = now
            sums = dict.fromkeys(rows, 0)
            whole = self.look(sums)
            # Two looks at once, after one that came late, are two: time goes on between them.
            steps.append(max(1, int((now - last) * 10000 + 0.5)))
            last += steps[-1] / 10000.0
            for channel, row in rows.items():
                row.append(sums[channel] // 1000 if channel == "cpu" else sums[channel])
        self.last = last
        self.parts += 1
        self.pace((time.process_time() - spent) / max(last - began, 0.001))
        cells = {channel: row for channel, row in rows.items() if any(row)}
        cells["spent_s"] = round(time.process_time(), 4)
        say("part", n=self.parts, at=round(begin, 4), dt=steps, **cells)
        self.narrow()
        return whole and ("cpu" in cells or all(map(alive, self.pids)))

    def chance(self):
        """0 to 1; Numerical Recipes' generator: `random` would be a megabyte of memory."""
        self.number = (self.number * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.number / 4294967296.0

    def pace(self, share):
        base = self.wanted["every"]
        if share > self.wanted["share"]:
            self.every = min(SLOWEST_S, self.every * 1.25)
        elif share < 0.6 * self.wanted["share"] and self.every > base:
            self.every = max(base, self.every / 1.25)

    def narrow(self):
        """To the busiest RDMA ports, once some are."""
        ports = [one for one in self.counters if one.channel == "rdma"]
        ports.sort(key=lambda one: -one.grown)
        if len(ports) > BUSIEST and ports[0].grown:
            for one in ports[BUSIEST:]:
                one.close()
                self.counters.remove(one)


def main():
    sampler = Sampler(json.loads(sys.argv[1]))
    try:
        os.nice(19 - os.nice(0))
    except OSError:
        pass
    search_at = 2  # parts: again and again, ever more rarely, for ranks that come late
    sampler.search()
    while True:
        if not sampler.pids:
            time.sleep(sampler.wanted["say_every"])
            sampler.search()
        elif not sampler.part():
            sampler.search()
            search_at = sampler.parts + 2
        elif sampler.parts >= search_at:
            sampler.search()
            search_at *= 2


if __name__ == "__main__":
    main()
