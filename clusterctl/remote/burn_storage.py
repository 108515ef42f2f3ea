"""A file on a shared file system written, synced and read back, all nodes at once.

Arguments: seconds, seed, MiB, folder, MB/s at most, also where nothing remote is mounted (1 or 0).
The file has no name, or loses it at once: on NFS the client keeps a .nfs… until it is closed.
"""

import os
import sys
import time

from burn_disk import BLOCK, PART, read_all, scratch, stamp, write_all
from trial import end, tell, trouble

REMOTE = (
    *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "9p"),
    *("virtiofs", "wekafs", "glusterfs", "orangefs", "pvfs2", "panfs", "afs", "dpc", "yrfs"),
)


def file_system(folder):
    """(type, mount point) of what is mounted last on the way to this folder."""
    place, found = os.path.realpath(folder), ("", "")
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            point = before.split()[4].replace("\\040", " ")
            inside = point in ("/", place) or place.startswith(point + "/")
            if inside and len(point) >= len(found[1]):
                found = after.split()[0], point
    return found


def paced(began, moved, rate):
    """Sleeps until so many bytes are due at so many bytes a second."""
    early = began + moved / rate - time.monotonic()
    if early > 0:
        time.sleep(early)


def one_pass(handle, blocks, pattern, turn, pace, until):
    """(blocks written and read back, wrong blocks, the first of them or -1)."""
    os.lseek(handle, 0, os.SEEK_SET)
    written = 0
    while written < blocks and (written < 1 or time.monotonic() < until):
        write_all(handle, stamp(written, turn) + pattern)
        written += 1
        pace(BLOCK)
    os.fsync(handle)
    # Without this the node's own memory would answer for the file system.
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(handle, 0, os.SEEK_SET)
    wrong, first = 0, -1
    for index in range(written):
        if read_all(handle, BLOCK) != stamp(index, turn) + pattern:
            wrong += 1
            first = index if first < 0 else first
        pace(BLOCK)
    return written, wrong, first


def main(seconds, seed, mib, folder, most_mb_s, anywhere):
    kind, point = file_system(folder)
    if not anywhere and kind not in REMOTE and not kind.startswith("fuse."):
        trouble("exit", "%s is %s, mounted at %s: nothing remote is there" % (folder, kind, point))
        return
    stat = os.statvfs(folder)
    blocks = min(mib, stat.f_bavail * stat.f_frsize // PART // BLOCK)
    if blocks < 1:
        trouble("exit", "%s is too full to test" % folder)
        return
    name = os.uname()[1].encode()  # nodes share the file system, so none may read another's
    pattern = (name + os.urandom(BLOCK))[: BLOCK - len(stamp(0, 0))]
    handle = scratch(folder)
    moved, wrong, first, passes, most, began = 0, 0, -1, seed, 0, time.monotonic()

    def pace(count):
        nonlocal moved
        moved += count
        paced(began, moved, most_mb_s * 1e6)

    while not most or time.monotonic() < began + seconds:
        done, bad, at = one_pass(handle, blocks, pattern, passes, pace, began + seconds)
        wrong, most, passes = wrong + bad, max(most, done), passes + 1
        first = at if first < 0 else first
    spent = time.monotonic() - began
    detail = "%s, %d passes of %d MiB, at most %g MB/s" % (kind, passes - seed, most, most_mb_s)
    if first >= 0:
        detail += "; first wrong at %d MiB" % first
    tell(
        "burn",
        part="storage:" + folder,
        engine="built-in",
        seconds=spent,
        amount=moved,
        unit="bytes",
        rate=moved / spent / 1e9,
        rate_unit="gbyte_s",
        errors=wrong,
        covered=None,
        asked=None,
        detail=detail,
    )


if __name__ == "__main__":
    try:
        main(
            float(sys.argv[1]),
            int(sys.argv[2]),
            int(sys.argv[3]),
            sys.argv[4],
            float(sys.argv[5]),
            sys.argv[6] == "1",
        )
    except OSError as error:
        trouble("exit", "%s: %s" % (sys.argv[4], error))
    end()
