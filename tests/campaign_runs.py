"""Campaigns led from the command line, as children that may be killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from campaigns import soon
from lab import Lab

from clusterctl import store
from clusterctl.acceptance import decide, shipped_rules
from clusterctl.campaign.decisions import Case
from clusterctl.campaign.folder import cases
from clusterctl.model import Finding

ROOT = Path(__file__).parent.parent
LEFTOVERS = ("/var", "/dev", "/run", "/tmp", "/root")  # noqa: S108 - of a node of the lab
PLAYBOOK = """
pace: {{at_once: 16, node_s: 60}}
stages:
  - cpu_burn: {{seconds: 1, engine: builtin}}
  - pair_bandwidth: {{seconds: 1, streams: 1}}
  - disk_burn: {{seconds: 1, size_mib: 16}}
soak:
  hours: {hours}
  sample_s: 1
  tick_s: 3
  silent_s: 90
  load: [cpu_burn: {{seconds: 4, engine: builtin}}]
lease_s: {lease_s}
"""


class Led:
    """Owns the controller of one campaign, and knows its directory across its deaths."""

    def __init__(self, lab: Lab, folder: Path, nodes: str, *, burnt_s: float, lease_s: float = 60):
        self.lab, self.folder = lab, folder
        folder.mkdir(exist_ok=True)
        book = folder / "burn.yml"
        book.write_text(PLAYBOOK.format(hours=burnt_s / 3600, lease_s=lease_s))
        self.controller: subprocess.Popen[str] | None = None
        self.words = ["-i", str(lab.inventory), "--nodes", nodes, "-F", str(lab.ssh_config)]
        self.words += ["-p", str(book), "--runs-dir", str(folder / "runs")]
        self.path = Path()

    def start(self, *more: str) -> None:
        self.lead([*self.words, *more])
        assert soon(lambda: list((self.folder / "runs").glob("*/decisions.jsonl")), 30)
        self.path = next((self.folder / "runs").glob("*/decisions.jsonl")).parent

    def resume(self, *more: str) -> None:
        self.lead(["--resume", str(self.path), *more])

    def lead(self, words: Sequence[str]) -> None:
        with (self.folder / "said").open("a") as said:
            self.controller = subprocess.Popen(
                [sys.executable, "-m", "clusterctl", "burnin", *words],
                stdout=said, stderr=said, text=True, cwd=ROOT,
            )  # fmt: skip

    def end(self, number: int = signal.SIGKILL, wait_s: float = 60) -> int:
        assert self.controller is not None
        self.controller.send_signal(number)
        return self.controller.wait(wait_s)

    def wait(self, seconds: float) -> int:
        assert self.controller is not None
        return self.controller.wait(seconds)

    @property
    def pid(self) -> int:
        assert self.controller is not None
        return self.controller.pid

    def taken(self, *nodes: str) -> bool:
        """Whether their journals say that another controller leads them now, and we know it."""
        files = [self.path / f"journals/{node}.jsonl" for node in nodes]
        return all(b'"k":"leader"' in file.read_bytes().replace(b" ", b"") for file in files)

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def cases(self) -> dict[str, Case]:
        return cases(self.path, store.stored(self.path).nodes())

    def until(self, node: str, phase: str, seconds: float = 90) -> None:
        """`soaking` is a phase, too."""

        def there() -> bool:
            case = self.cases().get(node)  # None: it has yet to join
            soaks = bool(case and case.course.soaking)
            return soaks if phase == "soaking" else bool(case and case.phase == phase)

        assert soon(there, seconds), (self.cases().get(node), self.said())

    def until_stage(self, node: str, number: int, seconds: float = 90) -> None:
        """That stage's order is decided; later stages will do."""

        def there() -> bool:
            return any(order.stage >= number for order in self.cases()[node].orders)

        assert soon(there, seconds), self.said()

    def until_over(self, node: str, seconds: float = 150) -> None:
        """Its load is: it is being stopped, read again, collected, or all of that was done."""

        def there() -> bool:
            return self.final.exists() or self.cases()[node].phase not in {"gate", "burn"}

        assert soon(there, seconds), self.said()

    def verdicts(self) -> dict[str, str]:
        run = store.load(store.stored(self.final))
        return {one.node: str(one.decision) for one in decide(run, shipped_rules())}

    def findings(self, node: str) -> list[Finding]:
        run = store.load(store.stored(self.final))
        return [one for one in run.findings if one.verdict.node == node]

    @property
    def final(self) -> Path:
        return self.path.with_name(self.path.name.removesuffix(".partial"))


def load_on(lab: Lab, node: str) -> list[str]:
    """Commands of ours that run there."""
    return [text for text in lab.processes(node).values() if "clusterctl" in text]


def traces(lab: Lab, nodes: Sequence[str]) -> list[str]:
    """What a campaign has left: processes and files."""
    found = [f"{node}: {text}" for node in nodes for text in load_on(lab, node)]
    for node in nodes:
        files = lab.do(node, "find", *LEFTOVERS).split("\n")
        found += [f"{node}: {file}" for file in files if "clusterctl" in file]
    return found
