"""NVIDIA's IMEX daemon: whether the nodes of an NVLink domain share memory.

https://docs.nvidia.com/multi-node-nvlink-systems/imex-guide/: `nvidia-imex-ctl -N` says how each
node of the domain is, `-q` how this one is.  Only racks such as GB200 NVL72 need it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import Applies, Domain, Fact, Kind, Probe, Question, Trouble, Version
from clusterctl.spelling import visible

CONFIGURED, TABLE, END = "== configured", "== table", "== end"
NODES_AT_MOST = 1024
PART = "imex"
# Node #5   - 172.31.50.44    - READY                - Version: 570.172; * marks what changed
NODE = re.compile(
    r"Node #(\d{1,4})\s+[-*] (\S{1,100})\s+[-*] ([A-Z_]{1,40})\s*(?:[-*] Version: (\S{1,40})\s*)?"
)
STATE = re.compile(r"(?m)^Domain State: ([A-Z_]{1,40})\s*$")
# Domain State alone may be in a log of something else.
SHAPE = re.compile(r"(?m)^(?:Domain State: |Node #\d+ +[-*] |Connectivity Table Legend:)")
WORD = re.compile(r"[A-Z_]{1,40}")
PLACES = "$PATH:/usr/bin:/usr/sbin:/opt/nvidia/imex/bin"

COMMAND = f"""
PATH={PLACES}; export PATH LC_ALL=C
command -v nvidia-imex-ctl >/dev/null || {{ echo 'nvidia-imex-ctl: not found' >&2; exit 127; }}
echo '{CONFIGURED}'
grep -cvE '^[[:space:]]*(#|$)' /etc/nvidia-imex/nodes_config.cfg 2>/dev/null
echo '{TABLE}'
nvidia-imex-ctl -N 2>&1; code=$?
echo "{END} $code"
"""


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A Domain, also where the daemon does not run: that may be as it should be."""
    if not stdout.startswith(CONFIGURED):
        yield from table(stdout)
        return
    text, ended, code = stdout.rpartition(f"{END} ")
    if not ended or not re.fullmatch(r"\d{1,3}\n", code):
        yield Trouble(Kind.CUT, "the answer about IMEX has no end")
        return
    head, _, said = text.partition(f"{TABLE}\n")
    wanted = head.removeprefix(f"{CONFIGURED}\n").strip()
    listed = int(wanted) if re.fullmatch(r"\d{1,5}", wanted) else None
    if code.strip() == "0":
        yield from table(said, listed)
    elif listed:
        yield Domain(PART, "down", nodes_named=listed, detail=visible(said.strip(), 200))
    # No node is configured and no daemon answers: IMEX is installed and not used.


def table(text: str, configured: int | None = None) -> Iterator[Fact | Trouble]:
    """The text of `-N`, its JSON (`-j`), or the one word of `-q`."""
    said = text.strip()
    if said.startswith("{"):
        yield from as_json(said, configured)
        return
    if WORD.fullmatch(said):
        yield Domain(PART, said.lower(), nodes_named=configured)
        return
    if not SHAPE.search(text):
        yield Trouble(Kind.UNREADABLE, f"not a table of IMEX: {visible(said, 80)!r}")
        return
    members: dict[str, str] = {}
    versions: set[str] = set()
    for line in text.split("\n"):
        if not line.startswith("Node #"):
            continue
        if found := NODE.fullmatch(line.rstrip()):
            members[visible(found[2], 100)] = found[3].lower()
            versions |= {found[4]} if found[4] else set()
        else:
            yield Trouble(Kind.UNREADABLE, f"not a node: {visible(line, 120)!r}", PART)
    state = STATE.search(text)
    if not state:
        yield Trouble(Kind.CUT, "IMEX's table does not come to the domain's state", PART)
        return
    yield Domain(PART, state[1].lower(), members, configured, tuple(sorted(versions)))
    yield from daemon(versions)


def as_json(said: str, configured: int | None) -> Iterator[Fact | Trouble]:
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = None
    nodes = told.get("nodes") if isinstance(told, dict) else None
    status = told.get("status") if isinstance(told, dict) else None
    if not isinstance(nodes, dict) or not isinstance(status, str) or not WORD.fullmatch(status):
        yield Trouble(Kind.UNREADABLE, f"IMEX's JSON: {visible(said, 80)!r}", PART)
        return
    members: dict[str, str] = {}
    versions: set[str] = set()
    for number, node in list(nodes.items())[:NODES_AT_MOST]:
        word = text_of(node, "status")
        if not WORD.fullmatch(word):
            yield Trouble(Kind.UNREADABLE, f"node {visible(number, 40)} has no status", PART)
            continue
        members[visible(text_of(node, "host") or number, 100)] = word.lower()
        versions |= {visible(text_of(node, "version"), 40)} - {""}
    yield Domain(PART, status.lower(), members, configured, tuple(sorted(versions)))
    yield from daemon(versions)


def text_of(node: object, name: str) -> str:
    held: Mapping[str, Any] = node if isinstance(node, dict) else {}
    return held[name] if isinstance(held.get(name), str) else ""


def daemon(versions: set[str]) -> Iterator[Version]:
    if len(versions) == 1:
        yield Version("imex", versions.pop())


PROBES = (
    Probe(
        Question(
            "nvidia_imex",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
        ),
        parse,
        yields=(Domain, Version),
        about="Whether the nodes of a GB200 NVL72 rack share memory: NVIDIA's IMEX daemon",
        optional=True,
        tool="nvidia-imex",
        applies=Applies(
            pci_vendors=("10de",),
            kinds=("accelerator",),
            why_not="no NVIDIA accelerator on the PCI bus",
        ),
        proven="documentation",
    ),
)
