"""What people paste of ethtool: settings of a device, -i, -S, -m and --show-fec, by its shape."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADINGS = re.compile(
    r"# ethtool(?: -\w+)? (\S+)|(?:Settings|FEC parameters) for (\S+):|NIC statistics:"
)
INFO = frozenset({"driver", "version", "firmware-version", "bus-info"})
STATISTIC = re.compile(r"\s+([^:]+): ([0-9]+)")
MODULE, FEC = "Identifier", "Active FEC encoding"
SETTINGS = frozenset({"Speed", "Duplex", "Link detected", "Supported link modes"})
UNNAMED = "port"
OURS = re.compile(
    r"(?m)^(?:clusterctl|tool|device|sys|refused|info|modes|stat|fec|module|failed|end)\t"
)
Row = tuple[str, ...]


def pasted(stdout: str) -> bool:
    """Whether it is the tool's own text, and no answer, or piece of one, of our question."""
    return not OURS.search(stdout) and bool(shape_of(stdout.split("\n")))


def told(text: str) -> tuple[str, list[Row]]:
    """(device, rows as our own question has them).  No row: not a text of ethtool."""
    device = UNNAMED
    lines = text.replace("\r\n", "\n").split("\n")
    for line in lines:
        if head := HEADINGS.match(line.strip()):
            device = head[1] or head[2] or device
    shape = shape_of(lines)
    rows = (row_of(shape, device, line) for line in lines if not HEADINGS.match(line.strip()))
    found = [row for row in rows if row]
    return device, [*found, *settings(device, text)] if shape == "settings" else found


def row_of(shape: str, device: str, line: str) -> Row | None:
    key, colon, value = (cell.strip() for cell in line.partition(":"))
    if not colon:
        return None
    if shape == "stat":
        if counter := STATISTIC.fullmatch(line):
            return "stat", device, counter[1].strip(), counter[2]
        return "failed", device, "-S", "garbled", f"not a counter: {line.strip()}"
    if shape in {"fec", "module"} or (shape == "info" and key in INFO and value):
        return shape, device, key, value
    return None


def shape_of(lines: Sequence[str]) -> str:
    keys = [line.partition(":")[0].strip() for line in lines if ":" in line]
    if "NIC statistics" in keys:
        return "stat"
    if FEC in keys:
        return "fec"
    if MODULE in keys:
        return "module"
    if "driver" in keys:
        return "info"
    if SETTINGS & set(keys):
        return "settings"
    plain = [line for line in lines if line.strip()]
    counters = sum(bool(STATISTIC.fullmatch(line)) for line in plain)
    return "stat" if 2 * counters > len(plain) else ""


def settings(device: str, text: str) -> list[Row]:
    """As sysfs would have it: an operational state, a speed in Mbit/s, a duplex."""
    found: list[Row] = []
    if modes := re.search(r"Supported link modes:([^:]*)(?:\n[^\n:]*:|$)", text):
        found.append(("modes", device, " ".join(modes[1].split())))
    keys = dict(re.findall(r"(?m)^\s*(Speed|Duplex|Link detected):[ \t]*(.+?)[ \t]*$", text))
    if linked := {"yes": "up", "no": "down"}.get(keys.get("Link detected", "")):
        found.append(("sys", device, "operstate", linked))
    if speed := re.fullmatch("([0-9]{1,7})Mb/s", keys.get("Speed", "")):
        found.append(("sys", device, "speed", speed[1]))
    if keys.get("Duplex") in {"Full", "Half"}:
        found.append(("sys", device, "duplex", keys["Duplex"].lower()))
    return found
