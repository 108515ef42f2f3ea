"""Where a job runs, as its scheduler or the operator says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clusterctl.inventory.ranges import BadRange, expand
from clusterctl.model import UserError
from clusterctl.spelling import visible
from clusterctl.triage.running.ask import Wanted

# scontrol(1), show job -o: one line a job, JobId=12 JobName=x … NodeList=n[01-04] …
FIELD = re.compile(r"(?<!\S)(JobId|JobName|UserId|JobState|NodeList)=(\S*)")
NOWHERE = frozenset({"", "(null)", "None", "N/A"})
JOB = re.compile(r"\d{1,12}(?:_\d{1,9}|\+\d{1,3})?")
TWICE = (
    "scontrol tells a field twice or not at all: its name or folder looks like one; "
    "say --nodes or --pids"
)
PIDS = re.compile(r"([^\s:,]+):(\d{1,9}(?:,\d{1,9})*)")


class Pod(Protocol):
    """A pod as the API server tells of it."""

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def phase(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """`wanted`: by node.  `addresses`: where the scheduler knows them; `said`: in its words."""

    wanted: Mapping[str, Wanted] = field(hash=False)
    addresses: Mapping[str, str] = field(default_factory=dict, hash=False)
    said: str = ""


def slurm_id(text: str) -> str:
    """Raises UserError."""
    if not JOB.fullmatch(text):
        raise UserError(f"--slurm {visible(text, 40)}: expected a job's number, e.g. 12345")
    return text


def slurm(job: str, stdout: str) -> Placed:
    """Of `scontrol show job -o`.  Raises UserError where the job runs nowhere."""
    wanted: dict[str, Wanted] = {}
    told = []
    for line in stdout.splitlines():
        found = FIELD.findall(line)
        fields = dict(found)
        if "JobId" not in fields:
            continue
        number, nodes = fields["JobId"], fields.get("NodeList", "")
        state = fields.get("JobState", "?")
        # A name or a folder is the user's, and may look like a field, or end the line.
        if len(fields) < len(found) or not {"JobState", "NodeList"} <= fields.keys():
            raise UserError(f"--slurm {job}: {TWICE}")
        if not JOB.fullmatch(number):
            raise UserError(f"--slurm {job}: scontrol: JobId={visible(number, 40)} is no number")
        told.append(f"job {number} of {fields.get('UserId', '?').split('(')[0]}, {state.lower()}")
        if nodes in NOWHERE or state not in {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED"}:
            continue
        try:
            names = expand(nodes)
        except BadRange as error:
            raise UserError(f"scontrol: NodeList={visible(nodes, 80)}: {error}") from None
        for name in names:
            wanted[name] = Wanted(slurm=number)
    if not wanted:
        why = visible("; ".join(told), 200) or "Slurm knows no such job"
        raise UserError(f"--slurm {job}: it runs on no node: {why}")
    return Placed(wanted, said=visible("; ".join(told), 200))


def pids(text: str) -> Placed:
    """n01:123,124 n02:77.  Raises UserError."""
    wanted: dict[str, Wanted] = {}
    for word in text.split():
        found = PIDS.fullmatch(word)
        if not found:
            shown = visible(word, 40)
            raise UserError(f"--pids: {shown!r}: expected NODE:PID,PID, e.g. n01:123,124")
        earlier = wanted.get(found[1], Wanted()).pids
        wanted[found[1]] = Wanted(pids=(*earlier, *map(int, found[2].split(","))))
    if not wanted:
        raise UserError("--pids: names nobody; expected NODE:PID,PID, e.g. n01:123,124")
    return Placed(wanted)


def kube(asked: str, pods: Sequence[Pod]) -> Placed:
    """Raises UserError where none of the pods runs."""
    running = [pod for pod in pods if pod.node and pod.phase == "Running"]
    if not running:
        phases = ", ".join(f"{pod.name} {pod.phase.lower()}" for pod in pods[:4]) or "there is none"
        raise UserError(f"--kube {visible(asked, 80)}: no pod of it runs: {visible(phases, 200)}")
    by_node: dict[str, tuple[str, ...]] = {}
    for pod in running:
        by_node[pod.node] = (*by_node.get(pod.node, ()), pod.uid)
    return Placed(
        {node: Wanted(pods=uids) for node, uids in by_node.items()},
        {pod.node: pod.address for pod in running if pod.address},
        f"{len(running)} of {len(pods)} pods run",
    )
