"""What an NVIDIA (Mellanox) device keeps in its firmware, by mlxconfig or mstconfig.

Not in a sweep by default: each call holds the firmware.  Layout: NVIDIA Firmware Tools
documentation, "Examples of mlxconfig Usage": columns Default, Current, Next Boot with -e, else the
last alone; New in the dialogue of `set`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clusterctl.model import Fact, Kind, Probe, Question, Setting, Trouble, Version
from clusterctl.probes.by_device import sections
from clusterctl.probes.device_files import ANY
from clusterctl.probes.mlxlink import MELLANOX
from clusterctl.spelling import visible

CALL_S, MOST_DEVICES = 10.0, 20
UNNAMED = "device"
HEAD = re.compile(r"Configurations:\s+(\S.*)")
ROW = re.compile(r"\s*(\*?)\s+([A-Z][A-Z0-9_]*(?:\[[0-9.]+\])?)\s{2,}(\S.*)")
DEVICE = re.compile(r"(?:PCI d|D)evice:\s+(\S+)")
COLUMNS = ("Default", "Current", "Next Boot", "New")
NO_VALUE = "N/A"  # the documentation: the device's default is set
ASIDE = re.compile(
    r"Device #?[0-9]+:|-{5,}|(?:Device type|Name|Description|PCI device|Device):.*"
    r"|The '\*' shows .*|Apply new Configuration\?.*|Applying\.\.\..*|-I- .*|-W- .*"
)
# Peers of one kind must agree on these; the rest are a device's hundreds of details.
MATTER = re.compile(
    r"PCI_WR_ORDERING|MAX_ACC_OUT_READ|ADVANCED_PCI_SETTINGS|LINK_TYPE_P[0-9]|SRIOV_EN|NUM_OF_VFS"
    r"|ROCE_.*|CNP_.*|PCI_ATOMIC_MODE|IBM_.*|KEEP_(?:ETH|IB)_LINK_UP_P[0-9]|NUM_OF_PF|EXP_ROM_.*"
)


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Of our own question the settings that matter and those that wait for a reboot; else all."""
    found, troubles = sections(stdout)
    yield from troubles
    for said in found:
        settings = list(rows(said.part, said.lines))
        if not any(isinstance(one, Setting) for one in settings):
            yield Trouble(Kind.UNREADABLE, "no setting in it", said.part)
        for one in settings:
            if isinstance(one, Trouble) or not said.part:
                yield one
            elif MATTER.fullmatch(one.name):
                yield one
                yield Version(f"nic/{one.part}", one.value or one.next_boot or "default")
            elif pending(one):
                yield one


def pending(one: Setting) -> bool:
    return one.value is not None and one.next_boot is not None and one.value != one.next_boot


def rows(part: str, lines: Sequence[str]) -> Iterator[Setting | Trouble]:
    """Without a heading, as grep leaves it, a single column is that of the next boot."""
    device, columns = part or UNNAMED, ["Next Boot"]
    for line in lines:
        text = line.strip()
        if head := HEAD.fullmatch(text):
            columns = [name for name in COLUMNS if re.search(rf"\b{name}\b", head[1])]
        elif (named := DEVICE.fullmatch(text)) and not part:
            device = visible(named[1], 80)
        elif text.startswith("-E-"):
            yield Trouble(Kind.EXIT, visible(text, 160), device)
        elif found := ROW.fullmatch(line):
            cells = re.split(r"\s{2,}", found[3].strip())
            yield setting(device, found[2], dict(zip(columns, cells, strict=False)), len(cells))
        elif text and not ASIDE.fullmatch(text):
            yield Trouble(Kind.UNREADABLE, f"not a line of mlxconfig: {visible(text, 120)}", device)


def setting(device: str, name: str, told: dict[str, str], cells: int) -> Setting | Trouble:
    if cells != len(told):
        return Trouble(Kind.UNREADABLE, f"{name}: {cells} values", f"{device}/{name}")
    value = {key: None if text == NO_VALUE else visible(text, 80) for key, text in told.items()}
    now, after = value.get("Current"), value.get("Next Boot")
    if "New" in value:
        now, after = after, value["New"]
    return Setting(f"{device}/{name}", device, name, now, after, value.get("Default"))


BY_NAME = (
    Probe(
        Question(
            "mlxconfig",
            ("config", f"{CALL_S * MOST_DEVICES:g}", f"{CALL_S:g}"),
            script="ask_mlx",
            timeout_s=CALL_S * (MOST_DEVICES + 1),
            group="mlx",
            spare=ANY,  # the firmware does nothing else meanwhile
        ),
        parse,
        yields=(Setting, Version),
        about="firmware settings of NVIDIA (Mellanox) devices, and those that wait for a reboot",
        applies=MELLANOX,
        proven="documentation",
    ),
)
