"""Write a scratch file, sync it, read it back.  Arguments: seconds, seed, MiB, folder, engine.

The file is unlinked as soon as it is open: whatever happens to us, nothing stays on the node.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

BLOCK = 1 << 20


def scratch(folder):
    handle, path = tempfile.mkstemp(prefix=".clusterctl-", dir=folder)
    os.unlink(path)
    return handle


def room(folder, wanted):
    """Bytes to use: at most a tenth of what is free, so that the test fills no disk."""
    stat = os.statvfs(folder)
    return min(wanted, stat.f_bavail * stat.f_frsize // 10) // BLOCK * BLOCK


def built_in(handle, size, seconds, seed):
    rng = random.Random(seed)
    seeds = bytes(bytearray(rng.getrandbits(8) for _ in range(4096)))
    pattern = seeds * (BLOCK // 4096)
    wrong = passes = 0
    began = time.monotonic()
    while passes == 0 or time.monotonic() < began + seconds:
        os.lseek(handle, 0, os.SEEK_SET)
        for index in range(size // BLOCK):
            write_all(handle, stamp(index, passes) + pattern[16:])
        os.fsync(handle)
        # Without this the page cache would answer for the disk.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(handle, 0, os.SEEK_SET)
        for index in range(size // BLOCK):
            wrong += read_all(handle, BLOCK) != stamp(index, passes) + pattern[16:]
        passes += 1
    spent = time.monotonic() - began
    return "built-in", spent, 2 * passes * size, wrong


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


def fio(tool, handle, size, seconds, seed):
    version = subprocess.check_output([tool, "--version"]).decode("utf-8", "replace").strip()
    os.ftruncate(handle, size)
    began = time.monotonic()
    spent, moved, wrong = 0.0, 0, 0
    while spent == 0.0 or spent < seconds:
        told = None
        for direct in ("1", "0"):  # tmpfs and overlay may refuse O_DIRECT
            told = fio_once(tool, handle, size, seed, direct, began + 3 * seconds)
            if told is not None:
                break
        if told is None:
            return None
        job = told["jobs"][0]
        # fio ends with EILSEQ (84) when what it reads back is not what it wrote.
        wrong += 1 if job["error"] == 84 else int(job.get("total_err", 0))
        moved += job["read"]["io_bytes"] + job["write"]["io_bytes"]
        spent = time.monotonic() - began
        if job["error"]:
            break
    return version, spent, moved, wrong


def fio_once(tool, handle, size, seed, direct, end):
    """What fio says as JSON; None where it could not run at all."""
    run = subprocess.Popen(
        [
            tool,
            "--name=clusterctl",
            "--filename=/proc/%d/fd/%d" % (os.getpid(), handle),
            "--size=%d" % size,
            "--rw=write",
            "--bs=1m",
            "--iodepth=1",
            "--direct=" + direct,
            "--end_fsync=1",
            "--verify=crc32c",
            "--do_verify=1",
            "--verify_fatal=1",
            "--randseed=%d" % seed,
            "--allow_file_create=0",
            "--overwrite=1",
            "--output-format=json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(),
    )
    text = run.communicate(timeout=max(10.0, end - time.monotonic()))[0].decode("utf-8", "replace")
    try:
        told = json.loads(text[text.index("{") :])
    except ValueError:
        return None
    return told if told.get("jobs") and told["jobs"][0]["error"] in (0, 84) else None


def main(seconds, seed, mib, folder, engine):
    size = room(folder, mib << 20)
    if size < BLOCK:
        say("trouble", "exit", "%s is too full to test" % folder)
        return
    handle = scratch(folder)
    tool = shutil.which("fio")
    told = None
    if engine == "fio" and not tool:
        say("trouble", "missing", "fio is not installed")
        return
    if tool and engine in ("auto", "fio"):
        told = fio(tool, handle, size, seconds, seed)
        if told is None and engine == "fio":
            say("trouble", "exit", "fio could not use a scratch file in %s" % folder)
            return
    name, spent, amount, wrong = told or built_in(handle, size, seconds, seed)
    say(
        "burn",
        "part=disk:" + folder,
        "engine=" + name,
        "seconds=%.3f" % spent,
        "amount=%d" % amount,
        "unit=bytes",
        "rate=%.4f" % (amount / spent / 1e9),
        "rate_unit=gbyte_s",
        "errors=%d" % wrong,
        "detail=%d MiB scratch file" % (size >> 20),
    )


said = 0


def say(*cells):
    global said
    said += 1
    print("\t".join(cells))
    sys.stdout.flush()


try:
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
except (OSError, IOError) as error:
    # A disk that refuses to be written or read is what this test looks for.
    say("trouble", "exit", "%s: %s" % (sys.argv[4], error))
print("end\t%d" % said)
