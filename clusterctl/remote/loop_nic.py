"""Traffic from a port to itself: RDMA by perftest, else TCP to the port's own address.

Arguments: seconds, engine, at once (1 or 0), TCP port to begin at, the folder /sys/class.
An RDMA write to itself passes PCIe, the adapter and its loopback.  TCP to an own address does not:
the kernel keeps it inside, and such a row says so (crossed=0).
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from fcntl import ioctl

from perftest import average_gbit_s
from tcp_streams import BLOCK, WARM_UP, receive, send
from trial import crew, end, tell, trouble

MEETING_S = 5.0  # for perftest's server to listen
OVER_S = 20.0  # for perftest to begin and end
SIZE = 1 << 20
SIOCGIFADDR = 0x8915  # linux/sockios.h
INACTIVE = "1: DOWN"


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def listed(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


# ----------------------------------------------------------------------------- RDMA


def rdma_ports(root):
    """(device, port, state) of every RDMA port."""
    for device in listed(root + "/infiniband"):
        for port in listed("%s/infiniband/%s/ports" % (root, device)):
            state = read("%s/infiniband/%s/ports/%s/state" % (root, device, port))
            yield device, port, state


def command(tool, device, port, tcp_port, seconds):
    where = ["-d", device, "-i", port, "-p", str(tcp_port)]
    return [tool, *where, "-s", str(SIZE), "-D", str(max(2, int(seconds))), "-F", "--report_gbits"]


def begin(words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(run, until):
    """(exit code, what it said); it is gone when this returns."""
    try:
        text = run.communicate(timeout=max(0.1, until - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        run.kill()
        text = run.communicate()[0] + b"\nFailed to end in time"
    return run.returncode, text.decode("utf-8", "replace")


def rdma(tool, ports, seconds, first):
    """All these ports at once; a row or a trouble for each."""
    jobs = [
        (device, port, command(tool, device, port, first + number, seconds))
        for number, (device, port) in enumerate(ports)
    ]
    until = time.monotonic() + seconds + OVER_S
    servers = [begin(words) for _, _, words in jobs]
    time.sleep(0.5)  # a client that comes too early is told so and comes again
    try:
        clients = [begin([*words, "127.0.0.1"]) for _, _, words in jobs]
        for (device, port, words), client in zip(jobs, clients):
            part = device + "/" + port
            code, text = finished(client, until)
            while "Couldn't connect" in text and time.monotonic() < until - seconds - MEETING_S:
                time.sleep(0.2)
                code, text = finished(begin([*words, "127.0.0.1"]), until)
            try:
                rate, size = average_gbit_s(text)
                if code:
                    raise ValueError("exit %s" % code)
            except ValueError as error:
                trouble("exit", "ib_write_bw: %s" % error, part)
                continue
            row(part, "perftest ib_write_bw", rate, size, seconds, 1)
    finally:
        for server in servers:
            server.kill()
            server.wait()


# ----------------------------------------------------------------------------- TCP


def interfaces(root, rdma_too):
    """Interfaces with hardware behind them, less those whose port perftest goes through."""
    known = {
        name
        for device in listed(root + "/infiniband")
        for name in listed("%s/infiniband/%s/device/net" % (root, device))
    }
    for name in listed(root + "/net"):
        if os.path.exists("%s/net/%s/device" % (root, name)) and (rdma_too or name not in known):
            yield name


def address_of(root, name):
    """Its IPv4 address, that of the bond it belongs to, or its first global IPv6 one; or None."""
    master = os.path.basename(os.path.realpath("%s/net/%s/master" % (root, name)))
    for one in (name, master):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                found = ioctl(asking, SIOCGIFADDR, struct.pack("256s", one.encode()[:15]))
                return socket.inet_ntoa(found[20:24])
            except OSError:
                pass
        for line in read("/proc/net/if_inet6").split("\n"):
            cells = line.split()
            if len(cells) == 6 and cells[5] == one and cells[3] == "00":
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(cells[0]))
    return None


def tcp(name, address, seconds):
    """One stream in each of two processes of ours; what arrived after the warm-up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen(1)
        server.settimeout(MEETING_S)

        def side(role):
            if role == "send":
                with socket.create_connection((address, server.getsockname()[1]), 5.0) as peer:
                    return [len(send([peer], seconds, OVER_S))]
            whole, row = receive([server.accept()[0]], seconds, OVER_S)
            return row[1:] if whole else []

        told = crew(side, ("send", "receive"), patience_s=seconds + OVER_S)
    if told.get("send") != [1] or not told.get("receive"):
        trouble("exit", "no traffic from %s to itself" % address, name)
        return
    counted = told["receive"]
    row(name, "built-in TCP", sum(counted) * 8 / (seconds * (1 - WARM_UP)) / 1e9, BLOCK, seconds, 0)


def row(part, engine, rate, size, seconds, crossed):
    tell(
        "loopback",
        part=part,
        engine=engine,
        gbit_s=rate,
        size_bytes=size,
        seconds=seconds,
        crossed=crossed,
    )


# ----------------------------------------------------------------------------- all of them


def main(seconds, engine, at_once, first, root):
    tool = shutil.which("ib_write_bw") if engine in ("auto", "perftest") else None
    ports = []
    for device, port, state in rdma_ports(root) if engine != "tcp" else ():
        part = device + "/" + port
        if not tool:
            trouble("missing", "ib_write_bw (perftest) is not installed: not crossed", part)
        elif "ACTIVE" in state:
            ports.append((device, port))
        elif state != INACTIVE:
            trouble("exit", "the port is %s: no traffic goes through it" % (state or "mute"), part)
    for batch in [ports] if at_once and ports else [[port] for port in ports]:
        rdma(tool, batch, seconds, first)
    if engine == "perftest":
        if not ports:
            trouble("missing", "no RDMA port that is active")
        return
    names = list(interfaces(root, rdma_too=not tool))
    for name in names:
        address = address_of(root, name)
        if address is None:
            trouble("exit", "the interface has no address, so nothing can be sent to it", name)
        else:
            tcp(name, address, seconds)
    if not names and not ports:
        trouble("missing", "no network port with hardware behind it")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2], sys.argv[3] == "1", int(sys.argv[4]), sys.argv[5])
    end()
