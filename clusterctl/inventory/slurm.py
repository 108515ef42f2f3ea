"""What `scontrol show node -o` said, kept in a file: partitions become groups, drained a label."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.inventory.draft import LABEL, Draft, Said, refuse

# NodeName=n1 Arch=x86_64 … State=IDLE+DRAIN … Partitions=gpu,all … Reason=fan [root@2026-01-02T…]
FIELD = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")
FLAGS = re.compile(r"[*~#!%$@^-]+$")  # scontrol(1), NODE STATE CODES: IDLE*, DOWN~, …
NOTHING = frozenset({"", "(null)", "N/A", "None"})
LABELS = {"State": "slurm_state", "Gres": "gres", "ActiveFeatures": "features"}


def recognised(text: str) -> bool:
    return text.lstrip().startswith("NodeName=")


def read(path: str, text: str) -> list[Draft]:
    """The nodes of one file.  Raises UserError."""
    return [
        draft
        for number, line in enumerate(text.split("\n"), 1)
        for draft in node_of(line, f"{path}:{number}")
    ]


def node_of(line: str, origin: str) -> Iterator[Draft]:
    if not line.strip():
        return
    if not recognised(line):
        raise refuse(origin, f"{line.strip()[:40]!r}: write the file with scontrol show node -o")
    before, _, reason = line.partition(" Reason=")
    said = {key: value for key, value in FIELD.findall(before) if value not in NOTHING}
    draft = Draft(said.get("NodeName", ""), origin)
    address = said.get("NodeAddr", "")
    if address and address != draft.name:
        draft.said["address"] = Said(address, origin)
    draft.groups = dict.fromkeys(filter(None, said.get("Partitions", "").split(",")))
    for key, label in LABELS.items():
        if key in said:
            draft.said[LABEL + label] = Said(
                said[key].lower() if key == "State" else said[key], origin
            )
    states = {FLAGS.sub("", state) for state in said.get("State", "").upper().split("+")}
    if states & {"DRAIN", "DRAINED", "DRAINING"}:
        draft.said[LABEL + "drained"] = Said(reason.strip() or "yes", origin)
    yield draft
