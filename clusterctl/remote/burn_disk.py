"""Write a scratch file, sync it, read it back.  Arguments: seconds, seed, MiB, folder, engine.

The file has no name, or loses it as soon as it is open: whatever happens to us, none stays behind.
"""

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from trial import end, tell, trouble

BLOCK = 1 << 20
PART = 10  # at most one in so many free bytes is used, so that the test fills no disk
CORRUPT = errno.EILSEQ  # fio's word for data that reads back changed


def scratch(folder):
    try:
        return os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    handle, path = tempfile.mkstemp(prefix=".clusterctl-", dir=folder)
    os.unlink(path)
    return handle


def built_in(handle, size, seconds, seed):
    """Engine, seconds of it, bytes moved, wrong blocks, where the first is."""
    # Nothing repeats within a block, and each says where it belongs and in which pass.
    pattern = random.Random(seed).getrandbits(BLOCK * 8).to_bytes(BLOCK, "little")[16:]
    wrong, first, passes = 0, "", 0
    began = time.monotonic()
    while passes == 0 or time.monotonic() < began + seconds:
        os.lseek(handle, 0, os.SEEK_SET)
        for index in range(size // BLOCK):
            write_all(handle, stamp(index, passes) + pattern)
        os.fsync(handle)
        # Without this the page cache would answer for the disk.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(handle, 0, os.SEEK_SET)
        for index in range(size // BLOCK):
            if read_all(handle, BLOCK) != stamp(index, passes) + pattern:
                wrong += 1
                first = first or "first wrong at %d MiB" % index
        passes += 1
    spent = time.monotonic() - began
    return "built-in", spent, 2 * passes * size, wrong, first


def stamp(index, turn):
    return index.to_bytes(8, "little") + turn.to_bytes(8, "little")


def write_all(handle, block):
    while block:
        block = block[os.write(handle, block) :]


def read_all(handle, count):
    parts = []
    while count:
        part = os.read(handle, count)
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def version_of(tool):
    """Empty where fio is installed and cannot even say its version."""
    try:
        said = subprocess.check_output([tool, "--version"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.decode("utf-8", "replace").strip()


def fio(tool, version, handle, size, seconds, seed):
    """As `built_in`, with the seconds in which fio moved data.  None: it broke, and we said so."""
    began = time.monotonic()
    busy, moved, turn, direct = 0.0, 0, 0, "1"
    while turn == 0 or time.monotonic() < began + seconds:
        os.ftruncate(handle, 0)
        os.ftruncate(handle, size)
        code, job, said = fio_once(tool, handle, size, seed + turn, direct)
        if code == errno.EINVAL and direct == "1":
            direct = "0"  # no direct I/O on this file system
            continue
        if code not in (0, CORRUPT):
            trouble("exit", "fio: error %s in the scratch file: %s" % (code, said))
            return None
        moved += job["read"]["io_bytes"] + job["write"]["io_bytes"]
        busy += (job["read"]["runtime"] + job["write"]["runtime"]) / 1000.0
        turn += 1
        if code == CORRUPT:
            return version, busy, moved, 1, said
    return version, busy, moved, 0, ""


def fio_once(tool, handle, size, seed, direct):
    """(its error code, its one job as it reports it, its last line about an error)."""
    run = subprocess.Popen(
        [
            tool,
            "--name=clusterctl",
            "--thread",  # a job process would outlive a killed fio and hold our pipe
            "--filename=/proc/%d/fd/%d" % (os.getpid(), handle),
            "--allow_file_create=0",
            "--fallocate=none",
            "--size=%d" % size,
            "--rw=write",
            "--bs=1m",
            "--ioengine=psync",
            "--direct=" + direct,
            "--end_fsync=1",
            "--verify=crc32c",
            "--do_verify=1",
            "--verify_fatal=1",
            "--verify_state_save=0",  # it would leave a file in the working directory
            "--randseed=%d" % seed,
            "--output-format=json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = run.communicate()[0].decode("utf-8", "replace")
    # crc32c: verify failed at file /proc/17/fd/3 offset 29360128, length 1048576 (…)
    # fio: pid=17, err=84/file:io_u.c:2152, func=io_u_sync_complete, error=Invalid or incomplete …
    found = re.search(r"verify failed.*", text) or re.search(r"fio: .*", text)
    said = found.group() if found else text.strip()
    try:
        job = json.loads(text[text.index("\n{") if "\n{" in text else text.index("{") :])["jobs"][0]
        return job["error"] if run.returncode >= 0 else run.returncode, job, said[:300]
    except (ValueError, KeyError, IndexError):
        return run.returncode or "no report", None, said[:300]


def burn(handle, size, seconds, seed, engine):
    tool = shutil.which("fio")
    version = version_of(tool) if tool and engine != "built-in" else ""
    if version:
        return fio(tool, version, handle, size, seconds, seed)
    if engine == "fio":
        trouble("missing", "fio is not installed" if not tool else "fio does not start")
        return None
    return built_in(handle, size, seconds, seed)


def main(seconds, seed, mib, folder, engine):
    stat = os.statvfs(folder)
    total = stat.f_blocks * stat.f_frsize
    size = min(mib << 20, stat.f_bavail * stat.f_frsize // PART) // BLOCK * BLOCK
    if size < BLOCK:
        trouble("exit", "%s is too full to test" % folder)
        return
    handle = scratch(folder)
    done = burn(handle, size, seconds, seed, engine)
    if done is None:
        return
    name, spent, amount, wrong, first = done
    tell(
        "burn",
        part="disk:" + folder,
        engine=name,
        seconds=spent,
        amount=amount,
        unit="bytes",
        rate=amount / spent / 1e9 if spent else None,
        rate_unit="gbyte_s",
        errors=wrong,
        covered=size / float(total),
        asked=min(1.0, (mib << 20) / float(total)),
        detail="%d MiB scratch file%s" % (size >> 20, first and "; " + first),
    )


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
    except OSError as error:
        # A disk that refuses to be written or read is what this test looks for.
        trouble("exit", "%s: %s" % (sys.argv[4], error))
    end()
