"""What a shell over SSH makes of a channel's moods.  The rest is tried on real sshds."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import paramiko
import pytest

from clusterctl.model import Node
from clusterctl.transport import TransportError
from clusterctl.transport.ssh_config import Surroundings, target
from clusterctl.transport.ssh_shell import SshShell


class Late(paramiko.Channel):
    """Everything comes, and ends, at the very moment at which the first wait for it is given up."""

    waits = 0

    def recv(self, nbytes: int) -> bytes:
        self.waits += 1
        if self.waits == 1:
            self.in_buffer.feed(b"all of it")
            self.eof_received = True
            self.in_buffer.close()
            raise TimeoutError
        return super().recv(nbytes)


def shell(until: float) -> SshShell:
    around = Surroundings(home=Path("/nonexistent"), environ={}, login="ops")
    aim = target(Node("n1"), around.lines(), around)
    line = paramiko.Transport.__new__(paramiko.Transport)  # never asked
    return SshShell(line, Node("n1"), aim, until=until, node_s=1.0, nice=0)


def test_what_came_with_the_end_is_heard_before_the_end():
    talk, channel = shell(monotonic() + 60), Late(1)
    assert talk._heard(channel) == b"all of it"
    assert talk._heard(channel) == b""


def test_past_the_deadline_nothing_is_heard():
    with pytest.raises(TransportError, match="has not finished"):
        shell(monotonic() - 1)._heard(Late(1))
