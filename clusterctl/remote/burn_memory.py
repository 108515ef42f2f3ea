"""Write a share of the node's memory with a pattern and read it back.

Arguments: seconds, seed, share, seconds that filling may take.  One pass always ends; then passes
until the time is over.
"""

import mmap
import os
import random
import sys
import time

from trial import crew, end, tell, trouble

BLOCK = 1 << 20
STEP = 4  # blocks between two looks at what is left: others may fill memory beside us
WORKERS = 128


def meminfo():
    with open("/proc/meminfo") as file:
        cells = dict(line.split(":", 1) for line in file)
    return [int(cells[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable")]


def groups():
    """The folders of the control groups we are in, innermost first, of either version."""
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, kinds, path = line.rstrip("\n").split(":", 2)
            if not kinds or "memory" in kinds.split(","):
                root = "/sys/fs/cgroup" + ("/memory" if kinds else "")
                while path not in ("", "/"):
                    yield root + path
                    path = os.path.dirname(path)
                yield root  # a container sees its own group as the root


def left_in(group):
    """Bytes that this group may still take; its page cache would make room."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            with open(group + "/" + limit) as most, open(group + "/" + used) as now:
                left = int(most.read()) - int(now.read())
            with open(group + "/memory.stat") as file:
                cells = dict(line.split() for line in file)
            return left + int(cells["inactive_file"]) + int(cells["active_file"])
        except (OSError, KeyError, ValueError):
            pass  # no such file, or "max"
    return None


def room(limited):
    """Bytes that may be taken now.  What stays is for the node: 256 MiB and one in 64 parts."""
    total, free = meminfo()
    for group in limited:
        left = left_in(group)
        free = free if left is None else min(free, left)
    return free - (256 << 20) - total // 64


def patterns(seed, number):
    """Two blocks, each other's complement, so that every bit is seen as 0 and as 1.

    Nothing in them repeats, and no two workers have the same: a stuck address line shows.
    """
    rng = random.Random(seed * 1000003 + number)
    block = rng.getrandbits(BLOCK * 8).to_bytes(BLOCK, "little")
    flipped = block.translate(bytes(bytearray(255 - byte for byte in range(256))))
    return bytearray(block), bytearray(flipped)


def stamped(pattern, index):
    """Each block says where it belongs."""
    pattern[:8] = index.to_bytes(8, "little")
    return pattern


def fill(area, count, pattern, limited, until):
    """Blocks written: fewer than `count` where memory or time ran out."""
    for index in range(count):
        if index % STEP == 0 and (time.monotonic() > until or room(limited) < 0):
            return index
        area[index * BLOCK : (index + 1) * BLOCK] = stamped(pattern, index)
    return count


def compare(area, count, pattern):
    """(wrong bytes, offset of the first), or (0, -1)."""
    wrong, first = 0, -1
    for index in range(count):
        found = area[index * BLOCK : (index + 1) * BLOCK]
        if found != stamped(pattern, index):
            flips = int.from_bytes(found, "little") ^ int.from_bytes(pattern, "little")
            bad = flips.to_bytes(BLOCK, "little")
            wrong += BLOCK - bad.count(0)
            at = index * BLOCK + BLOCK - len(bad.lstrip(b"\0"))
            first = at if first < 0 else first
    return wrong, first


def work(number, count, seed, seconds, fill_s):
    """Blocks tested, passes, wrong bytes, the offset of the first."""
    area = mmap.mmap(-1, count * BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    both = patterns(seed, number)
    limited = [group for group in groups() if left_in(group) is not None]
    began = time.monotonic()
    wrong, first, passes = 0, -1, 0
    while passes == 0 or (time.monotonic() < began + seconds and count):
        pattern = both[passes % 2]
        if passes == 0:
            count = fill(area, count, pattern, limited, began + fill_s)
        else:
            for index in range(count):
                area[index * BLOCK : (index + 1) * BLOCK] = stamped(pattern, index)
        bad, offset = compare(area, count, pattern)
        wrong += bad
        first = offset if first < 0 else first
        passes += 1
    return count, passes, wrong, first


def main(seconds, seed, share, fill_s):
    try:  # if anything must die for memory, it is this
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass
    total, free = meminfo()
    wanted = int(total * share) // BLOCK
    workers = min(len(os.sched_getaffinity(0)), WORKERS, wanted)
    began = time.monotonic()
    told = crew(
        lambda number: work(
            number, wanted // workers + (number < wanted % workers), seed, seconds, fill_s
        ),
        range(workers),
    )
    spent = time.monotonic() - began
    if len(told) < workers:
        lost = workers - len(told)
        trouble("exit", "%d of %d workers gave no result; out of memory?" % (lost, workers))
    tested = sum(count for count, _, _, _ in told.values())
    moved = sum(2 * count * passes * BLOCK for count, passes, _, _ in told.values())
    if not tested:
        trouble("exit", "%d MiB available: too little to test" % (free >> 20))
        return
    passes = min(row[1] for row in told.values() if row[0])
    detail = "%d MiB of %d MiB, %d workers, " % (tested * BLOCK >> 20, total >> 20, len(told))
    # One pass has seen every bit as 0 or as 1, two as both.
    detail += "1 pass" if passes == 1 else "%d passes" % passes
    for number, (_, _, bad, first) in sorted(told.items()):
        if bad:
            detail += "; worker %d: %d wrong bytes from offset %#x" % (number, bad, first)
    tell(
        "burn",
        part="memory",
        engine="built-in",
        seconds=spent,
        amount=moved,
        unit="bytes",
        rate=moved / spent / 1e9,
        rate_unit="gbyte_s",
        errors=sum(bad for _, _, bad, _ in told.values()),
        covered=tested * BLOCK / float(total),
        asked=min(1.0, share),
        detail=detail[:1000],
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    end()
