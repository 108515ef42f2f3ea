"""The address of each Ascend NPU's own port, by hccn_tool and by /etc/hccn.conf.

Where the two disagree, peers that read the file talk to nobody: vllm-project/vllm-ascend PR 16847.
`-i` is the physical number, as in the file's address_N (Ascend HDK guide, hccn_tool).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from clusterctl.model import Address, Fact, Kind, Probe, Question, Trouble
from clusterctl.spelling import visible
from clusterctl.sysfs import kind_of, rows

FILE = "/etc/hccn.conf"
CALL_S, MOST_NPUS = 4.0, 16
ADDRESS = re.compile(r"\s*address_([0-9]{1,3})\s*=\s*(\S+)\s*")
SAID = re.compile(r"(?:^|\s)ipaddr:\s*(\S+)")
UNSET = "no ip was preset"
Row = Sequence[str]


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """An address an NPU that is there; nothing where there is none."""
    found = list(rows(stdout))
    told = [row for row in found if not isinstance(row, Trouble)]
    troubles = [*(row for row in found if isinstance(row, Trouble)), *strange(told)]
    yield from troubles
    lines = [ADDRESS.fullmatch(row[1]) for row in told if row[0] == "conf" and len(row) == 2]
    configured = {line[1]: spelled(line[2]) for line in lines if line}
    said = {row[1]: actual(*row[1:]) for row in told if row[0] == "ip" and len(row) == 4}
    for number in [row[1] for row in told if row[0] == "npu" and len(row) == 2]:
        answer = said.get(number)
        if isinstance(answer, Trouble):
            yield answer
        elif answer is not None and not any(one.part == FILE for one in troubles):
            part = f"npu{visible(number, 10)}"
            yield Address(part, answer, configured.get(number, ""), FILE)


def strange(told: Sequence[Row]) -> Iterator[Trouble]:
    for row in told:
        match row:
            case ("refused", reason):
                yield Trouble(kind_of(reason), f"{FILE}: {visible(reason, 40)}", FILE)
            case ("missing", tool):
                yield Trouble(Kind.MISSING, f"{visible(tool, 40)} is not installed")
            case ("clusterctl", "hccn", "1") | ("conf" | "npu", _) | ("ip", _, _, _):
                pass
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row of ours: {visible(repr(row), 120)}")


def actual(number: str, status: str, said: str) -> str | Trouble:
    """Empty: the device says that it has none."""
    part = f"npu{visible(number, 10)}"
    if found := SAID.search(said):
        return spelled(found[1])
    if UNSET in said:
        return ""
    if status == "timeout":
        return Trouble(Kind.TIMEOUT, f"hccn_tool did not answer in {CALL_S:g} s", part)
    return Trouble(Kind.EXIT, f"hccn_tool: exit {visible(status, 20)}: {visible(said, 120)}", part)


def spelled(text: str) -> str:
    """One spelling of an address; what is none stays as it is, to be shown."""
    try:
        return str(ip_address(text.strip().strip("\"'")))
    except ValueError:
        return visible(text, 60)


FABRIC = (
    Probe(
        Question(
            "hccn",
            (f"{CALL_S:g}",),
            script="ask_hccn",
            timeout_s=CALL_S * MOST_NPUS + 5,
            group="ascend",
        ),
        parse,
        yields=(Address,),
        about="addresses of Ascend NPUs by the device and by /etc/hccn.conf",
    ),
)
