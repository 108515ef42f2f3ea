#!/usr/bin/env python3
"""Ours beside pdsh, clush and ansible, on the same nodes, by the same ssh configuration.

    tests/bench/fanout.py --nodes 200 --rounds 3

Starts a lab of light nodes, each with a real sshd (root only), and runs in turn, so that noise hits
all alike: `clusterctl sweep` with nightly.yml, judged and stored; pdsh with `questions.sh`, which
asks the same by plain commands; pdsh, clush and ansible with one `echo`.  All have host keys
checked, none reuses a connection, all talk to as many nodes at once.  Every run must have heard
every node, or its line says how many it heard.

wall: of the command; in the lab the nodes' work is done on this machine too.  controller: user and
system seconds of the command and all that it started here (pdsh, clush and ansible start an ssh for
each node).  nodes: those of every node's sshd and all that it started.  busy: seconds of all
processors of this machine meanwhile; what is beyond controller and nodes is the kernel's network
and bystanders, who should be few.  Medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

from lab import Lab, load, start, stop

HERE = Path(__file__).resolve().parent
SETTLE_S = 0.5  # until the last sshd has collected its children
OURS, SAME = "clusterctl sweep -p nightly", "pdsh, the same questions"


@dataclass(frozen=True)
class Contender:
    """`heard` reads from its standard output how many nodes answered to the end."""

    name: str
    command: Sequence[str]
    heard: Callable[[str], int]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Taken:
    heard: int
    wall_s: float
    controller_s: float
    nodes_s: float
    busy_s: float


def contenders(lab: Lab, at_once: int, folder: Path) -> list[Contender]:
    names = ",".join(lab.nodes)
    pdsh = ["pdsh", "-R", "ssh", "-f", str(at_once), "-w", names]
    with_config = {"PDSH_SSH_ARGS_APPEND": f"-F {lab.ssh_config}"}
    hosts = folder / "hosts"
    hosts.write_text("\n".join(lab.nodes) + "\n")
    sweep = [tool("clusterctl"), "sweep", "-p", "nightly", "-i", str(lab.inventory)]
    sweep += ["-F", str(lab.ssh_config), "--at-once", str(at_once), "--format", "json"]
    questions = "\n".join(
        line
        for line in (HERE / "questions.sh").read_text().splitlines()
        if not line.startswith("#")
    )
    clush = [tool("clush"), "-f", str(at_once), "-o", f"-F {lab.ssh_config}", "-w", names]
    ansible = [tool("ansible"), "all", "-i", str(hosts), "-f", str(at_once), "-m", "raw"]
    return [
        Contender(OURS, [*sweep, "--runs-dir", str(folder / "runs")], answered),
        Contender(SAME, [*pdsh, questions], lines_with("== end"), with_config),
        Contender("pdsh, echo", [*pdsh, "echo here"], lines_with("here"), with_config),
        Contender("clush, echo", [*clush, "echo here"], lines_with("here")),
        Contender(
            "ansible, echo (raw)",
            [*ansible, "-a", "echo here"],
            lambda text: len(re.findall(r"^here$", text, re.MULTILINE)),
            {"ANSIBLE_SSH_ARGS": f"-F {lab.ssh_config} -o ControlMaster=no"}
            | {"ANSIBLE_HOME": str(folder / "ansible"), "ANSIBLE_NOCOLOR": "1"},
        ),
    ]


def tool(name: str) -> str:
    """Of the environment that runs us, else of the machine."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name


def answered(text: str) -> int:
    return int(json.loads(text)["nodes"]["answered"])


def lines_with(word: str) -> Callable[[str], int]:
    """Of pdsh's and clush's lines, `n001: word`."""
    return lambda text: len(set(re.findall(rf"^(\S+): {word}$", text, re.MULTILINE)))


def busy_s() -> float:
    """Of all processors, idle and I/O wait left out: proc(5), /proc/stat."""
    cells = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, *_ = map(int, cells)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def spent_s(lab: Lab) -> float:
    """By every node's first processes and all of theirs that ended: proc(5), /proc/pid/stat."""
    ticks = 0
    for node in lab.nodes:
        first = lab.pid(node)
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for process in (str(first), *children):
            cells = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, cells[11:15]))  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def take(one: Contender, lab: Lab) -> Taken:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        spent, busy, began = spent_s(lab), busy_s(), time.monotonic()
        process = subprocess.Popen(
            one.command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=said,
            env={**os.environ, **one.environment},
        )
        _, _, usage = os.wait4(process.pid, 0)  # its own children that it waited for as well
        wall, busy = time.monotonic() - began, busy_s() - busy
        process.returncode = 0
        time.sleep(SETTLE_S)
        spent = spent_s(lab) - spent
        out.seek(0)
        said.seek(0)
        try:
            heard = one.heard(out.read())
        except ValueError:
            sys.exit(f"{one.name}: {said.read()[-2000:]}")
    return Taken(heard, wall, usage.ru_utime + usage.ru_stime, spent, busy)


def table(taken: Mapping[str, Sequence[Taken]], nodes: int) -> str:
    same = median(one.wall_s for one in taken[SAME])
    titles = ("answered", "wall s", "controller s", "nodes s", "busy s", f"wall / {SAME!r}")
    lines = [f"{'':28}" + "".join(f"{title:>13}" for title in titles[:5]) + f"  {titles[5]}"]
    for name, runs in taken.items():
        wall = median(one.wall_s for one in runs)
        controller = median(one.controller_s for one in runs)
        of_nodes = median(one.nodes_s for one in runs)
        busy = median(one.busy_s for one in runs)
        heard = f"{min(one.heard for one in runs)} of {nodes}"
        spread = f"{min(one.wall_s for one in runs):.1f} to {max(one.wall_s for one in runs):.1f}"
        lines.append(
            f"{name:28}{heard:>13}{wall:13.2f}{controller:13.2f}{of_nodes:13.2f}{busy:13.2f}"
            f"  {wall / same:.2f}  ({spread})"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=128)
    parser.add_argument("--lab", type=Path, help="a running lab's folder, instead of a new one")
    parser.add_argument("--only", default="", help="contenders whose name holds this word")
    given = parser.parse_args()
    if given.lab:
        bench(load(given.lab), given)
    else:
        lab, holder = start(given.nodes, "--light")
        try:
            bench(lab, given)
        finally:
            stop(holder)
    return 0


def bench(lab: Lab, given: argparse.Namespace) -> None:
    load_1 = os.getloadavg()[0]
    print(f"{len(lab.nodes)} nodes, {given.at_once} at once, load {load_1:.1f}", flush=True)
    taken: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory(prefix="clusterctl-bench-") as folder:
        asked = contenders(lab, given.at_once, Path(folder))
        for number in range(given.rounds):
            for one in asked:
                if given.only in one.name:
                    taken.setdefault(one.name, []).append(take(one, lab))
                    print(f"round {number + 1}: {one.name}: {taken[one.name][-1]}", flush=True)
    if SAME in taken:
        print(table(taken, len(lab.nodes)))


if __name__ == "__main__":
    sys.exit(main())
