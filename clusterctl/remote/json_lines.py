"""JSON messages, one a line, between processes.  It travels beside collective.py."""

import json
import os
import select
import time

LONGEST = 1 << 22  # bytes of a line that has no end


class Line:
    """JSON messages, one a line, over a socket or a pipe that we poll."""

    def __init__(self, file):
        self.file, self.buffer = file, b""

    def fileno(self):
        return self.file if isinstance(self.file, int) else self.file.fileno()

    def say(self, message):
        self.file.sendall((json.dumps(message) + "\n").encode())

    def heard(self):
        """Messages that have come; None when the other end is gone."""
        try:
            part = os.read(self.fileno(), 1 << 16)
        except OSError:
            part = b""
        if not part or len(self.buffer) > LONGEST:
            return None
        *lines, self.buffer = (self.buffer + part).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def next(self, finish):
        """The next message before anything else goes on.  Raises OSError."""
        while True:
            left = finish - time.monotonic()
            if left <= 0 or not select.select([self], [], [], left)[0]:
                raise OSError("it said nothing in time")
            lines = self.heard()
            if lines is None:
                raise OSError("it broke off")
            if lines:
                return json.loads(lines[0])
