"""Run a collector that writes files in a place that ends with us; print the files as JSON lines.

Arguments: seconds it may take, bytes that its files may have together, and its command, in which
`{}` is a folder.  Root gets a memory file system over /tmp that nobody else sees and that is gone
with the last process in it, however that ends; others a folder of their own that is removed.
"""

import base64
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

NEWNS = 0x00020000
PRIVATE = 0x4000 | (1 << 18)  # MS_REC, MS_PRIVATE
SAID_BYTES = 1 << 20
PREFIX = "clusterctl-collect-"


def tell(**row):
    sys.stdout.write(json.dumps(row) + "\n")


def apart(most_bytes):
    """Whether /tmp is now ours alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    room = "size=%d,mode=0700" % (4 * most_bytes)
    if libc.unshare(NEWNS) or libc.mount(None, b"/", None, PRIVATE, None):
        return False
    return not libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, room.encode())


def run(argv, place, seconds):
    """(exit code or None, what it said)"""
    with open(os.path.join(place, ".said"), "w+b") as said:
        tool = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=os.path.join(place, "files"),
            start_new_session=True,
        )
        try:
            code = tool.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(tool.pid, signal.SIGKILL)
            tool.wait()
        said.seek(0)
        return code, said.read(SAID_BYTES).decode("utf-8", "replace")


def show(folder, most_bytes):
    left, count = most_bytes, 0
    for path, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            whole = os.path.join(path, name)
            short = os.path.relpath(whole, folder)
            if os.path.islink(whole) or not os.path.isfile(whole):
                continue
            size = os.path.getsize(whole)
            if size > left:
                tell(left=short, size=size)
                continue
            with open(whole, "rb") as file:
                data = file.read(left)
            left -= len(data)
            count += 1
            tell(file=short, data=base64.b64encode(data).decode())
    return count


def main():
    seconds, most_bytes, argv = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    found = shutil.which(argv[0])
    if not found:
        sys.stderr.write("not found: %s\n" % argv[0])
        return 127
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    alone = os.getuid() == 0 and apart(most_bytes)
    place = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
    try:
        os.mkdir(os.path.join(place, "files"))
        command = [word.replace("{}", os.path.join(place, "files")) for word in argv]
        try:
            code, said = run(command, place, seconds)
        except OSError as error:
            sys.stderr.write("cannot be run: %s\n" % error)
            return 126
        tell(exit=code, said=said, alone=alone)
        tell(end=show(os.path.join(place, "files"), most_bytes))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


sys.exit(main())
