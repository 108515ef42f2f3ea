"""The journal of a campaign on its node: one record a line, appended, checked, on disk.

    CRC SEQUENCE JSON        CRC: eight hex digits, CRC-32 of `SEQUENCE JSON`

JSON is an object: `k` what kind of record, `m` seconds of CLOCK_MONOTONIC, and what the kind has;
clusterctl/campaign/journal.py, which reads them, lists the kinds.  Sequence numbers go on by one,
over supervisors and reboots.

A thread of its own writes and syncs, because a disk under load may take minutes for it and the
lease cannot wait.  What comes while one sync is under way goes with the next: with a disk that
keeps up, loss of power costs what was journalled since the last sample.
"""

import errno
import json
import os
import threading
import zlib

BACKLOG_BYTES = 8 << 20  # kept in memory while the disk takes nothing
RETRY_S = 5.0


def encode(sequence, record):
    body = ("%d %s" % (sequence, json.dumps(record, separators=(",", ":")))).encode()
    return b"%08x %s\n" % (zlib.crc32(body) & 0xFFFFFFFF, body)


def decode(line):
    """(sequence, record) of a line without its end; None where it is not whole."""
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]) & 0xFFFFFFFF:
            return None
        number, _, text = line[9:].partition(b" ")
        return int(number), json.loads(text.decode())
    except ValueError:
        return None


def whole(path):
    """(sequence, record) of every good line."""
    with open(path, "rb") as file:
        for line in file:
            found = decode(line[:-1]) if line.endswith(b"\n") else None
            if found:
                yield found


def complete_bytes(path):
    """Up to the end of the last line that has one."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - 65536)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0


class Journal:
    """`trouble`: the name of the error with which the disk refuses; empty: it does not."""

    def __init__(self, path, wake=lambda: None):
        """A torn tail is ended, so that it becomes one bad line.  Raises OSError."""
        self.wake = wake
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.good = os.fstat(self.file).st_size  # what lies beyond is half a record of ours
        if complete_bytes(path) != self.good:
            self.put_down(b"\n")  # which may be all that its last line lacked
        self.sequence = 1 + max((number for number, _ in whole(path)), default=-1)
        self.queue = []
        self.queued_bytes = 0
        self.lost = 0  # samples for which there was no room
        self.durable = self.sequence  # all before this one are on disk
        self.trouble = ""
        self.closing = False
        self.changed = threading.Condition()
        self.thread = None

    def start(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def add(self, record, *, droppable=False):
        """Its sequence number, or None where a droppable one found no room."""
        with self.changed:
            line = encode(self.sequence, record)
            if droppable and self.queued_bytes + len(line) > BACKLOG_BYTES:
                self.lost += 1
                return None
            number, self.sequence = self.sequence, self.sequence + 1
            self.queue.append(line)
            self.queued_bytes += len(line)
            self.changed.notify_all()
        return number

    def put_down(self, data):
        """Append and sync all of it, or leave the file as it was.  Raises OSError."""
        try:
            at = 0
            while at < len(data):
                at += os.write(self.file, data[at:])
            os.fsync(self.file)
        except OSError:
            try:
                os.ftruncate(self.file, self.good)
            except OSError:
                pass
            raise
        self.good += len(data)

    def run(self):
        while True:
            with self.changed:
                while not self.queue and not self.closing:
                    self.changed.wait()
                if not self.queue:
                    return
                taken, data = len(self.queue), b"".join(self.queue)
            try:
                if os.fstat(self.file).st_size != self.good:  # the last attempt left half a record
                    os.ftruncate(self.file, self.good)
                self.put_down(data)
                trouble = ""
            except OSError as error:
                trouble = errno.errorcode.get(error.errno, str(error))
            with self.changed:
                if not trouble:
                    del self.queue[:taken]
                    self.queued_bytes -= len(data)
                    self.durable += taken
                news = trouble != self.trouble
                self.trouble = trouble
                if trouble and not self.closing:
                    self.changed.wait(RETRY_S)
                elif trouble:
                    return
            if news or not trouble:
                self.wake()

    def close(self, patience_s):
        """Whether everything is on disk."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        if self.thread:
            self.thread.join(patience_s)
        return not self.queue
