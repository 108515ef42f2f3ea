"""Print the recent lines of the kernel log that match one of the given patterns.

Arguments: the window in seconds, how many like lines to keep at either end of a flood, and of each
pattern its words, a line each, and its regex: a line that holds none of the words needs no regex.
Lines are alike that match the same pattern with equal groups.
Rows, tab-separated: boot (id, uptime, wall clock), refused (source, why), line (seconds since boot,
like lines left out before it, text), window (source, seconds covered, records in it, whether older
ones of the window are gone), unsent (lines too many to send), end (number of rows).
"""

import collections
import errno
import os
import re
import subprocess
import sys
import threading
import time

WINDOW_S, KEEP = float(sys.argv[1]), int(sys.argv[2])
PATTERNS = [(words.split("\n"), regex) for words, regex in zip(sys.argv[3::2], sys.argv[4::2])]
COMPILED = {}  # all of them take 12 ms, and a healthy node's log needs none or few
SOURCE_S = 10.0  # for each of the three
GROUPS = 2000  # of like lines
CAP_BYTES = 700000
LINE_BYTES = 1000
KMSG = re.compile(r"\d+,(\d+),(\d+),[^;]*;(.*)")
ESCAPE = rb"\\x([0-9a-f]{2})"
TOOL_LINE = r"\[ *(\d+\.\d+)\] (?:\[ *[TC]\d+\] )?(?:\S+ kernel: )?(.*)"
ROWS = []


def row(*cells):
    ROWS.append("\t".join(re.sub(r"[\t\n\r]", " ", str(cell)) for cell in cells))


def identity(message):
    """What lines that are alike share; None for a line that no pattern knows."""
    for place, (words, regex) in enumerate(PATTERNS):
        for word in words:
            if word in message:
                if place not in COMPILED:
                    COMPILED[place] = re.compile(regex)
                match = COMPILED[place].match(message)
                if match:
                    return (place, *match.groups())
                break
    return None


class Log(object):
    """One source's records inside the window, like lines folded."""

    def __init__(self, name, now):
        self.name, self.now = name, now
        self.begin = None  # seconds since boot of the oldest record there is
        self.overrun = False  # records were overwritten while we read
        self.total = self.inside = self.unsent = 0
        self.groups = {}

    def add(self, seconds, message):
        self.total += 1
        if self.begin is None:
            self.begin = seconds
        if None not in (seconds, self.now) and seconds < self.now - WINDOW_S:
            return
        self.inside += 1
        like = identity(message)
        if like is None:
            return
        if like not in self.groups and len(self.groups) >= GROUPS:
            self.unsent += 1
            return
        first, last, left_out = self.groups.setdefault(
            like, ([], collections.deque(maxlen=KEEP), [0])
        )
        kept = (self.inside, seconds, message[:LINE_BYTES])
        if len(first) < KEEP:
            first.append(kept)
            return
        if len(last) == KEEP:
            left_out[0] += 1
        last.append(kept)

    def covered(self):
        """Seconds back to where the log begins or the window does; None where nothing tells."""
        if None in (self.begin, self.now):
            return None
        return max(0.0, min(WINDOW_S, self.now - self.begin))

    def lost(self):
        covered = self.covered()
        wanted = min(WINDOW_S, self.now or WINDOW_S)
        return self.overrun or self.unsent > 0 or covered is None or covered < wanted - 1

    def lines(self):
        found = []
        for first, last, left_out in self.groups.values():
            found += [(order, seconds, 0, text) for order, seconds, text in first]
            found += [
                (order, seconds, 0 if place else left_out[0], text)
                for place, (order, seconds, text) in enumerate(last)
            ]
        return sorted(found, key=lambda line: line[0])


def read_kmsg(log):
    """A plain file does as well.  One read of the device gives one record."""
    device = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    stop = time.time() + SOURCE_S
    rest = b""
    try:
        while True:
            try:
                chunk = os.read(device, 65536)
            except (OSError, IOError) as error:
                if error.errno == errno.EPIPE:  # the next read goes on with the oldest record left
                    log.overrun = True
                    continue
                if error.errno == errno.EAGAIN:
                    break
                raise
            if not chunk or time.time() > stop:
                log.overrun = log.overrun or bool(chunk)
                break
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                add_kmsg(log, line)
        if rest:
            add_kmsg(log, rest)
    finally:
        os.close(device)


def add_kmsg(log, line):
    if not line or line.startswith(b" "):  # " SUBSYSTEM=pci": the record's dictionary
        return
    if b"\\x" in line:
        line = re.sub(ESCAPE, lambda code: bytes(bytearray([int(code.group(1), 16)])), line)
    text = re.sub(r"[\t\n\r]", " ", line.decode("utf-8", "replace"))
    match = KMSG.match(text)
    if not match:
        log.add(None, text)
        return
    sequence, microseconds, message = match.groups()
    if log.begin is None and sequence == "0":
        log.begin = 0.0
    log.add(int(microseconds) / 1e6, message)


def read_tool(log, command, early_s):
    """A tool's lines.  Where the first is earlier than `early_s`, the boot is all there."""
    tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    timer = threading.Timer(SOURCE_S, tool.kill)
    timer.start()
    said = ""
    try:
        for line in tool.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            match = re.match(TOOL_LINE, text)
            if match:
                log.add(float(match.group(1)), match.group(2))
            elif text.strip():
                said = text
        code = tool.wait()
    finally:
        timer.cancel()
    if code != 0:
        raise OSError(0, "exit %d: %s" % (code, said))
    if not log.total and said:  # printk.time=0, or "No journal files were found."
        raise OSError(0, said)
    if log.begin is not None and log.begin < early_s:
        log.begin = 0.0


def read_journal(log):
    command = ["journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-monotonic"]
    read_tool(log, command, 120.0)  # it stamps what was logged before it started when it starts


def read_dmesg(log):
    read_tool(log, ["dmesg"], 5.0)


def first_line(path):
    with open(path) as file:
        return file.readline().strip()


def uptime():
    try:
        return float(first_line("/proc/uptime").split()[0])
    except Exception as error:
        row("refused", "/proc/uptime", error)
        return None


def best_log(now):
    """The first source that has the whole window, else the one that reaches back furthest."""
    best = None
    for name, read in (("kmsg", read_kmsg), ("journal", read_journal), ("dmesg", read_dmesg)):
        if name == "dmesg" and best is not None:
            break  # the ring that kmsg has
        log = Log(name, now)
        try:
            read(log)
        except Exception as error:
            code = errno.errorcode.get(getattr(error, "errno", None), "")
            row("refused", name, "%s %s" % (code, getattr(error, "strerror", None) or error))
            continue
        if not log.total:
            row("refused", name, "holds no record at all")
            continue
        if best is None or (log.covered() or 0) > (best.covered() or 0) + 60:
            best = log
        if not best.lost():
            break
    return best


def main():
    row("clusterctl", "kernel_log", 1)
    now = uptime()
    try:
        boot_id = first_line("/proc/sys/kernel/random/boot_id")
        row("boot", boot_id, "" if now is None else now, "%.3f" % time.time())
    except Exception as error:
        row("refused", "boot_id", error)
    log = best_log(now)
    if log is None:
        return
    size = 0
    for _, seconds, left_out, text in log.lines():
        size += len(text) + 30
        if size > CAP_BYTES:
            log.unsent += 1 + left_out
            continue
        row("line", "" if seconds is None else "%.6f" % seconds, left_out, text)
    covered = log.covered()
    lost = int(log.lost())
    row("window", log.name, "" if covered is None else "%.0f" % covered, log.inside, lost)
    if log.unsent:
        row("unsent", log.unsent)


main()
ROWS.append("end\t%d" % len(ROWS))
answer = ("\n".join(ROWS) + "\n").encode("utf-8", "replace")
getattr(sys.stdout, "buffer", sys.stdout).write(answer)  # an ASCII locale must not lose it
