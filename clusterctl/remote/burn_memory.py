"""Write a share of the available memory with a pattern and read it back.

Arguments: seconds, seed, share.  One pass always finishes; then passes until the time is over.
"""

import mmap
import os
import random
import sys
import time

BLOCK = 1 << 20
SPARE = 512 << 20  # left for the node itself


def available():
    """Bytes we may take: MemAvailable, or less where a cgroup says so."""
    with open("/proc/meminfo") as file:
        cells = dict(line.split(":", 1) for line in file)
    free = int(cells["MemAvailable"].split()[0]) * 1024
    total = int(cells["MemTotal"].split()[0]) * 1024
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            with open("/sys/fs/cgroup/" + limit) as file, open("/sys/fs/cgroup/" + used) as now:
                free = min(free, int(file.read()) - int(now.read()))
        except (OSError, IOError, ValueError):
            pass  # no such cgroup, or "max"
    return free, total


def blocks(seed, number):
    """Two patterns, each other's complement, so that every bit is seen as 0 and as 1."""
    rng = random.Random(seed * 1000003 + number)
    block = bytes(bytearray(rng.getrandbits(8) for _ in range(4096))) * (BLOCK // 4096)
    return block, bytes(bytearray(255 - byte for byte in bytearray(block)))


def work(seed, number, count, seconds, pipe):
    """Passes over `count` blocks; writes bytes compared, wrong blocks and the first offset."""
    area = mmap.mmap(-1, count * BLOCK)
    patterns = blocks(seed, number)
    wrong = passes = 0
    first = -1
    end = time.monotonic() + seconds
    while passes == 0 or time.monotonic() < end:
        pattern = patterns[passes % 2]
        for index in range(count):
            # The address goes into the block: a stuck address line repeats a block elsewhere.
            stamp = index.to_bytes(8, "little")
            area[index * BLOCK : (index + 1) * BLOCK] = stamp + pattern[8:]
        for index in range(count):
            stamp = index.to_bytes(8, "little")
            if area[index * BLOCK : (index + 1) * BLOCK] != stamp + pattern[8:]:
                wrong += 1
                first = index * BLOCK if first < 0 else first
        passes += 1
    os.write(pipe, ("%d %d %d %d\n" % (passes * count * BLOCK, wrong, first, passes)).encode())


def main(seconds, seed, share):
    try:  # if anything must die for memory, it is this
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except (OSError, IOError):
        pass
    free, total = available()
    count = int(min(free * share, free - SPARE)) // BLOCK
    if count < 1:
        say("trouble", "exit", "%d MiB available: too little to test" % (free >> 20))
        return
    workers = min(len(os.sched_getaffinity(0)), 64, count)
    reader, writer = os.pipe()
    began = time.monotonic()
    children = []
    for number in range(workers):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = count // workers + (number < count % workers)
                work(seed, number, mine, seconds, writer)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [[int(cell) for cell in line.split()] for line in lines]
    ends = [os.waitpid(child, 0)[1] for child in children]
    spent = time.monotonic() - began
    died = sum(1 for end in ends if end)
    if died:
        say("trouble", "exit", "%d of %d workers died; out of memory?" % (died, workers))
    amount = sum(row[0] for row in told)
    wrong = sum(row[1] for row in told)
    tested = count * BLOCK * len(told) // workers
    detail = "%d MiB of %d MiB, %d workers" % (tested >> 20, total >> 20, workers)
    if wrong:
        detail += "; first wrong block at offset %d" % min(row[2] for row in told if row[1])
    say(
        "burn",
        "part=memory",
        "engine=built-in",
        "seconds=%.3f" % spent,
        "amount=%d" % amount,
        "unit=bytes",
        "rate=%.4f" % (amount / spent / 1e9),
        "rate_unit=gbyte_s",
        "errors=%s" % (wrong if told else "N/A"),
        "covered=%.4f" % (tested / float(total)),
        "detail=" + detail,
    )


said = 0


def say(*cells):
    global said
    said += 1
    print("\t".join(cells))
    sys.stdout.flush()


main(float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
print("end\t%d" % said)
