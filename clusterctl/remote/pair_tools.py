"""Partners that agree on a tool both have, and run it.  It travels beside pair.py."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from math import ceil

from iperf3 import received, threaded
from near_nic import local_address, nearest_gpu, rdma_of, unmapped
from pair_tcp import family_of
from perftest import average_gbit_s, latency_us
from tcp_streams import BACKWARD, FORWARD, sends
from trial import tell, trouble

ENGINES = ("perftest", "iperf3", "built-in")
# Perftest refuses GPU memory in ib_write_lat.  A read is a whole round trip.
WRITE, LATENCY = "ib_write_bw", "ib_read_lat"
SIZE = 8 << 20  # bytes: Azure's and SuperBench's message for bandwidth
START_S = 5.0  # for a tool to begin to listen
OVER_S = 30.0  # for a tool to begin and end beside its seconds
VERSION_S = 10.0
LONGEST = 1 << 16  # of a line that partners say
PORTS = range(30000, 32000)
IPERF_WARM_S = 1  # it takes whole seconds only
IPERF_BLOCK = 131072  # bytes, its default for TCP
RUN_S = 2  # of perftest, which leaves a quarter of it out at either end
TIMES = 10000  # messages of a latency test


# ----------------------------------------------------------------------------- agreeing


def said_by(words):
    try:
        run = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.decode("utf-8", "replace")


def offers(side, address):
    """What this side could do, and why not the rest: data for the partner."""
    offer = {"engines": ["built-in"], "why": {}, "cuda": False}
    tool = LATENCY if side.way == "latency" else WRITE
    port = rdma_of(side.device, address, side.classes + "/infiniband")
    if not port:
        where = side.device or "of %s (label rail_devices names one)" % address
        offer["why"]["perftest"] = "no active RDMA port " + where
    elif not shutil.which(tool):
        offer["why"]["perftest"] = tool + " is not installed"
    else:
        offer["engines"].append("perftest")
        offer["rdma"] = port
        gpu = nearest_gpu(os.path.realpath("%s/infiniband/%s/device" % (side.classes, port[0])))
        if gpu is not None and side.memory != "host" and "--use_cuda" in said_by([tool, "--help"]):
            offer["cuda"] = True
            offer["gpu"] = gpu
    version = said_by(["iperf3", "--version"]) if side.way != "latency" else ""
    if side.way == "latency":
        offer["why"]["iperf3"] = "it measures no latency"
    elif not version.startswith("iperf 3"):
        offer["why"]["iperf3"] = "iperf3 is not installed"
    elif side.engine == "auto" and not threaded(version):
        offer["why"]["iperf3"] = "older than 3.16: one thread for all streams"
    else:
        offer["engines"].append("iperf3")
        offer["iperf3"] = " ".join(version.split()[:2])
    return offer


def agree(side, talk, control):
    """The engine that both have and either wants; None: a trouble was told."""
    side.offer = offers(side, side.bind or local_address(control))
    say(talk, side.offer)
    side.theirs = hear(talk)
    both = [one for one in side.offer["engines"] if one in side.theirs["engines"]]
    wanted = ENGINES if side.engine == "auto" else (side.engine,)
    for engine in wanted:
        if engine in both:
            return engine
    for name, offer in ((side.me, side.offer), (side.peer, side.theirs)):
        if side.engine not in offer["engines"]:
            why = offer["why"].get(side.engine, "no such engine")
            trouble("missing", "%s: %s on %s" % (side.engine, why, name))
    return None


def say(talk, message):
    _, mouth = talk
    mouth.write(json.dumps(message) + "\n")
    mouth.flush()


def hear(talk):
    ears, _ = talk
    line = ears.readline(LONGEST)
    if not line.endswith("\n"):
        raise OSError("the partner broke off while we agreed on what to do")
    try:
        return json.loads(line)
    except ValueError:
        raise OSError("the partner said what is no message of ours")


# ----------------------------------------------------------------------------- running a tool


def begin(words, env=None):
    """A tool that never outlives us, in our own process group."""
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
    )


def finished(run, until):
    """(exit code, what it said); it is gone when this returns."""
    try:
        text = run.communicate(timeout=max(0.1, until - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        run.kill()
        text = run.communicate()[0] + b"\nFailed to end in time"
    return run.returncode, text.decode("utf-8", "replace")


def stopped(run):
    run.send_signal(signal.SIGKILL)
    run.wait()


def free_ports(count, bind):
    """Ports that are free now, above those where partners meet and below the ephemeral ones."""
    found = []
    for port in PORTS if count else ():
        with socket.socket(family_of(bind), socket.SOCK_STREAM) as one:
            try:
                one.bind((bind, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    if len(found) == count:
        return found
    raise OSError("no port from %d to %d is free" % (PORTS[0], PORTS[-1]))


def until_listening(ports, runs):
    """A client that comes too early would use up a server that serves once."""
    finish = time.monotonic() + START_S
    while not set(ports) <= listening():
        if any(run.poll() is not None for run in runs) or time.monotonic() > finish:
            return  # what it says tells why
        time.sleep(0.02)


def listening():
    """Ports at which somebody on this node listens."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in proc_net(name)]
    return {int(line[1].rpartition(":")[2], 16) for line in lines if line[3:4] == ["0A"]}


def proc_net(name):
    try:
        with open("/proc/net/" + name) as file:
            return file.readlines()[1:]
    except OSError:
        return []


def far_address(control):
    return unmapped(control.getpeername()[0])


def together(talk):
    """Both are through with a step before the next begins."""
    say(talk, {"done": True})
    hear(talk)


def carry(side, talk, control, steps):
    """Every step by the tool agreed on."""
    if not steps:
        perftest_latency(side, talk, control)
    for step in steps:
        (iperf3 if side.engine == "iperf3" else perftest)(side, talk, control, step)


# ----------------------------------------------------------------------------- iperf3


def iperf3(side, talk, control, step):
    """A one-off server of the listener's for each turn; each side reads what it received itself."""
    seconds = max(1, ceil(side.seconds - IPERF_WARM_S))
    until = time.monotonic() + seconds + IPERF_WARM_S + OVER_S
    every = ["-J", "-i", "%g" % max(0.1, seconds / 20.0), *(["-B", side.bind] if side.bind else ())]
    if side.role == "listen":
        ports = free_ports(len(step), side.bind)
        runs = [begin(["iperf3", "-s", "-1", "-p", str(port), *every]) for port in ports]
        until_listening(ports, runs)
        say(talk, {"ports": ports})
    else:
        every += ["-t", str(seconds), "-O", str(IPERF_WARM_S), "-P", str(side.streams)]
        runs = [
            begin(["iperf3", "-c", far_address(control), "-p", str(int(port)), *every, *back])
            for port, back in zip(
                hear(talk)["ports"], (["-R"] if turn == BACKWARD else [] for turn in step)
            )
        ]
    try:
        for turn, run in zip(step, runs):
            code, text = finished(run, until)
            if not sends(side.role, turn):
                iperf3_row(side, turn, code, text)
    finally:
        for run in runs:
            stopped(run)
    together(talk)


def iperf3_row(side, turn, code, text):
    try:
        rates, spans, again = received(text)
    except ValueError as error:
        trouble("exit", "iperf3 (exit %s): %s" % (code, error), side.part(turn))
        return
    engine = "%s, %d streams" % (side.offer["iperf3"], side.streams)
    cells = {"size_bytes": IPERF_BLOCK, "seconds": sum(spans), "retransmits": again}
    side.row(turn, engine, rates, spans, **cells)


# ----------------------------------------------------------------------------- perftest


def perftest_words(side, tool, port, *more):
    device, number = side.offer["rdma"]
    words = [tool, "-d", device, "-i", number, "-p", str(port), "-F", *more]
    if uses_gpus(side):
        words.append("--use_cuda=%d" % side.offer["gpu"])
    return words


def uses_gpus(side):
    return side.memory != "host" and side.offer["cuda"] and side.theirs["cuda"]


def both_ends(side, talk, control, turns, tool, *more):
    """(exit code, what it said) of this side's client, if it has one: whoever sends calls."""
    until = time.monotonic() + side.seconds + OVER_S
    env = dict(os.environ, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    receiving = [turn for turn in turns if not sends(side.role, turn)]
    ports = free_ports(len(receiving), side.bind)
    servers = [begin(perftest_words(side, tool, port, *more), env) for port in ports]
    try:
        until_listening(ports, servers)
        say(talk, {"ports": ports})
        clients = [
            begin([*perftest_words(side, tool, int(port), *more), far_address(control)], env)
            for port in hear(talk)["ports"]
        ]
        told = [finished(client, until) for client in clients]
        together(talk)
    finally:
        for server in servers:
            stopped(server)
    return told[0] if told else None


def perftest(side, talk, control, step):
    """Several short runs: each one's rate is a sample, and its margins are the warm-up."""
    if side.memory == "cuda" and not uses_gpus(side):
        trouble("missing", "GPU memory: no GPU, or an %s built without --use_cuda" % WRITE)
        return
    sent = [turn for turn in step if sends(side.role, turn)]
    more = ("-s", str(SIZE), "-q", str(side.streams), "-D", str(RUN_S), "--report_gbits")
    rates = []
    for _ in range(max(1, int(side.seconds // RUN_S))):
        told = both_ends(side, talk, control, step, WRITE, *more)
        if told is None:
            continue
        try:
            if told[0]:
                raise ValueError("exit %s: %s" % (told[0], " ".join(told[1].split())[-200:]))
            rates.append(average_gbit_s(told[1])[0])
        except ValueError as error:
            trouble("exit", "%s: %s" % (WRITE, error), side.part(sent[0]))
    if rates:
        where = ", GPU memory" if uses_gpus(side) else ""
        engine = "perftest %s, %d QPs%s" % (WRITE, side.streams, where)
        spent = {"seconds": float(RUN_S * len(rates)), "retransmits": None}
        side.row(sent[0], engine, rates, size_bytes=SIZE, **spent)


def perftest_latency(side, talk, control):
    more = ("-s", str(side.size), "-n", str(TIMES))
    told = both_ends(side, talk, control, (FORWARD,), LATENCY, *more)
    if told is None:
        return
    part = side.part(FORWARD)
    try:
        cells = latency_us(told[1])
    except ValueError as error:
        trouble("exit", "%s (exit %s): %s" % (LATENCY, told[0], error), part)
        return
    tell("latency", part=part, engine="perftest " + LATENCY, **cells)
