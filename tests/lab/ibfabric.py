"""An InfiniBand fabric that ibsim plays and a real opensm runs, and the tools that see it.

    with Fabric(folder, faults) as played:
        subprocess.run(["ibnetdiscover"], env=played.environment)

Sixteen nodes of eight adapters: a leaf for each rail and eight nodes, four spines over all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

NODES, RAILS, OF_LEAF, SPINES = 16, 8, 8, 4
PRELOAD = Path("/usr/lib/x86_64-linux-gnu/umad2sim/libumad2sim.so")
TOOLS = ("ibsim", "opensm", "ibnetdiscover", "iblinkinfo", "ibqueryerrors")
READY_S = 20.0

End = tuple[str, int]  # box and port


def missing() -> str:
    """What the machine lacks; empty: nothing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    absent += [] if PRELOAD.exists() else ["libumad2sim.so"]
    if absent:
        return f"no {', '.join(absent)}: Debian packages ibsim-utils, opensm, infiniband-diags"
    return ""


def adapter(node: int, rail: int) -> str:
    return f"n{node:02d} mlx5_{rail}"


def leaf(pod: int, rail: int) -> str:
    return f"leaf-p{pod}-r{rail}"


def cabled() -> dict[End, End]:
    """Every cable of the fabric as it should be, by its lower end."""
    found: dict[End, End] = {}
    for node in range(1, NODES + 1):
        pod, port = divmod(node - 1, OF_LEAF)
        for rail in range(RAILS):
            found[adapter(node, rail), 1] = leaf(pod + 1, rail), port + 1
    for pod in range(1, NODES // OF_LEAF + 1):
        for rail in range(RAILS):
            for spine in range(1, SPINES + 1):
                upper = (f"spine-{spine}", (pod - 1) * RAILS + rail + 1)
                found[leaf(pod, rail), OF_LEAF + spine] = upper
    return found


PLAN = f"""\
rails: mlx5_[0-{RAILS - 1}]
nodes:
  n[01-08]: {{leaf: "leaf-p1-r[0-7]", port: "[1-8]"}}
  n[09-16]: {{leaf: "leaf-p2-r[0-7]", port: "[1-8]"}}
spines: spine-[1-{SPINES}]
"""


@dataclass
class Faults:
    """`move`: a lower end to another place (None: unplugged).  `add`: cables that are too many.

    `slow`: "1xQDR" by lower end.  `errors`: (box, port, counter, count).
    """

    move: Mapping[End, End | None] = field(default_factory=dict)
    add: Mapping[End, End] = field(default_factory=dict)
    slow: Mapping[End, str] = field(default_factory=dict)
    errors: tuple[tuple[str, int, str, int], ...] = ()


def net_file(faults: Faults) -> str:
    """As ibnetdiscover prints it, which is what ibsim reads."""
    cables = {low: faults.move.get(low, high) for low, high in cabled().items()} | dict(faults.add)
    plugged = {low: high for low, high in cables.items() if high}
    rates = {low: faults.slow.get(low, "4xQDR") for low in plugged}
    both = plugged | {high: low for low, high in plugged.items()}
    rates |= {high: rates[low] for low, high in plugged.items()}
    boxes = dict.fromkeys(box for pair in cabled().items() for box, _ in pair)
    return "\n".join(record(box, both, rates) for box in boxes)


def record(box: str, both: Mapping[End, End], rates: Mapping[End, str]) -> str:
    switch = " " not in box
    rows = "\n".join(
        f'[{port}]\t"{identity(far)}"[{far_port}]\t# '
        + ("" if switch else "lid 0 lmc 0 ")
        + f'"{far}" lid 0 {rates[box, port]}'
        for (near, port), (far, far_port) in sorted(both.items())
        if near == box
    )
    kind, ports = ("Switch", 36) if switch else ("Ca", 1)
    tail = " base port 0 lid 0 lmc 0" if switch else ""
    return f'{kind}\t{ports} "{identity(box)}"\t# "{box}"{tail}\n{rows}\n'


def identity(box: str) -> str:
    return ("H-" if " " in box else "S-") + box.replace(" ", "-")


class Fabric:
    """Runs until left; `environment` makes the tools see it."""

    def __init__(
        self, folder: Path, faults: Faults | None = None, inside: tuple[str, ...] = ()
    ) -> None:
        """`inside`: what puts a command into the network that ibsim is to be reached from."""
        self.folder = folder
        self.inside = inside
        self.faults = faults or Faults()
        self.counters = ""  # what ibqueryerrors said when they stood as planted
        self.closing = ExitStack()
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "IBSIM_SOCKNAME": f"clusterctl-{os.getpid()}-{folder.name}",
            "OSM_CACHE_DIR": str(folder),
            "OSM_TMP_DIR": str(folder),
            "SIM_HOST": identity(adapter(1, 0)),
        }

    def __enter__(self) -> Self:
        net = self.folder / "net"
        net.write_text(net_file(self.faults))
        try:
            self.start("ibsim", "-s", str(net), stdin=subprocess.PIPE)
            self.console = self.closing_process.stdin
            self.environment["LD_PRELOAD"] = str(PRELOAD)
            # One sweep, and the tools on another node: opensm does not meet their queries.
            self.start("opensm", "-s", "0", "-f", str(self.folder / "opensm.log"))
            self.environment["SIM_HOST"] = identity(adapter(2, 0))
            self.await_active()
            for box, port, counter, count in self.faults.errors:
                self.say(f'PerformanceSet "{identity(box)}"[{port}] PortCounters.{counter}={count}')
            self.await_counters()
        except BaseException:
            self.closing.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.close()

    def start(self, *command: str, stdin: int = subprocess.DEVNULL) -> None:
        log = self.closing.enter_context((self.folder / f"{command[0]}.out").open("w"))
        process = subprocess.Popen(
            [*self.inside, *command], stdin=stdin, stdout=log, stderr=log, text=True,
            env=self.environment, cwd=self.folder,
        )  # fmt: skip
        self.closing.callback(process.wait)
        self.closing.callback(process.kill)
        self.closing_process = process

    def say(self, command: str) -> None:
        assert self.console is not None
        self.console.write(command + "\n")
        self.console.flush()

    def ask(self, *command: str) -> str:
        return subprocess.run(
            [*self.inside, *command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        ).stdout

    def await_active(self) -> None:
        """Until opensm has brought every cabled port up."""
        for _ in self.moments("opensm"):
            said = self.ask("iblinkinfo", "-l")
            if "Active/" in said and "Initialize/" not in said and "Armed/" not in said:
                return

    def await_counters(self) -> None:
        """Until opensm answers for paths, too, and the counters are as set."""
        for _ in self.moments("ibqueryerrors"):
            self.counters = said = self.ask("ibqueryerrors")
            if "## Summary" in said and all(
                f"{counter} == {count}]" in said for _, _, counter, count in self.faults.errors
            ):
                return

    def moments(self, what: str) -> Iterator[None]:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            yield
            time.sleep(0.05)
        raise TimeoutError(f"{what} was not ready in {READY_S:g} s; see {self.folder}")

    def wrapper(self, tool: str) -> str:
        """The tool as a script that a node would have; ibsim's adapter has a name of its own."""
        names = ("LD_PRELOAD", "IBSIM_SOCKNAME", "SIM_HOST")
        given = " ".join(f"{name}={self.environment[name]}" for name in names)
        real = shutil.which(tool, path=self.environment["PATH"])
        words = 'set -- "$@" "$word"; done'
        renamed = 'for word; do shift; case "$word" in mlx5_*) word=ibsim0; esac; '
        return f'#!/bin/sh\n{renamed}{words}\nexec env {given} {real} "$@"\n'

    def wrappers(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for tool in TOOLS[2:]:
            (folder / tool).write_text(self.wrapper(tool))
            (folder / tool).chmod(0o755)
