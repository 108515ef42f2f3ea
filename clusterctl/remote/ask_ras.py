"""Ask NCCL's RAS on this node, one or several times, and print what it says.

argv: looks and seconds between them.  RAS listens on the loopback: port 28028, or the one that
NCCL_RAS_ADDR of a process here names (NCCL user guide, Troubleshooting, RAS).  JSON where it knows
that (2.28.7), else text.
"""

import os
import re
import socket
import sys
import time

PORT = 28028
CONNECT_S, ANSWER_S = 2.0, 25.0  # RAS itself waits 5 s for each leg of a process that is silent
MOST_BYTES = 48 << 20
ADDRESS = re.compile(rb"(?:^|\0)NCCL_RAS_ADDR=[^\0]{0,200}?:(\d{1,5})(?:\0|$)")


def ports():
    """Only the port: whose address it is, no process of a user tells us."""
    found = [PORT]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/" + name + "/environ", "rb") as file:
                    told = ADDRESS.search(file.read(1 << 20))
            except OSError:
                continue
            if told and int(told.group(1)) not in found and int(told.group(1)) < 65536:
                found.append(int(told.group(1)))
    return found


def connect(all_ports):
    """A connection that speaks RAS's protocol, and what was heard beyond its greeting."""
    said = []
    for port in all_ports:
        for host in ("127.0.0.1", "::1"):
            try:
                link = socket.create_connection((host, port), CONNECT_S)
            except OSError as error:
                said.append("{}:{}: {}".format(host, port, error))
                continue
            link.settimeout(ANSWER_S)
            try:
                if talk(link, b"CLIENT PROTOCOL 2\n").startswith(b"SERVER PROTOCOL"):
                    return link
                said.append("{}:{}: it is not NCCL's RAS".format(host, port))
            except OSError as error:
                said.append("{}:{}: {}".format(host, port, error))
            link.close()
    sys.exit("no RAS of NCCL answers here ({}); it needs NCCL 2.24 and a job here".format(said[0]))


def talk(link, order):
    """The one line that answers an order."""
    link.sendall(order)
    line = b""
    while not line.endswith(b"\n") and len(line) < 4096:
        part = link.recv(1)
        if not part:
            break
        line += part
    return line


def status(link):
    talk(link, b"SET FORMAT json\n")  # an older one answers that it does not know it: text, then
    link.sendall(b"VERBOSE STATUS\n")
    parts, size = [], 0
    while size < MOST_BYTES:
        part = link.recv(1 << 16)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts).decode("utf-8", "replace")


def main():
    looks, apart_s = int(sys.argv[1]), float(sys.argv[2])
    all_ports = ports()
    begun = time.monotonic()
    for look in range(looks):
        time.sleep(max(0.0, begun + look * apart_s - time.monotonic()))
        link = connect(all_ports)
        print(status(link))
        link.close()


main()
