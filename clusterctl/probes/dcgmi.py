"""What NVIDIA's DCGM says of the GPUs it watches: `dcgmi health -c`.

https://docs.nvidia.com/datacenter/dcgm/latest/user-guide/; layouts by NVIDIA/DCGM,
dcgmi/Health.cpp.  Watches are somebody's choice (`dcgmi health -s a`): this asks only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clusterctl.model import (
    Accelerator,
    Applies,
    Diagnosis,
    Fact,
    Kind,
    Link,
    Probe,
    Question,
    Trouble,
)
from clusterctl.model import Parse as Reader
from clusterctl.spelling import Unreadable, count, pci_address, visible

BY, NODE = "dcgm", "node"
REPORT = "Health Monitor Report"
STATES = {"healthy", "warning", "failure", "internal error"}
END = "== end"
# Nothing to look at: not a word about any GPU.
UNWATCHED = re.compile(
    r"Health watches not enabled|Unable to check health watches|The Group is not found"
    r"|[Uu]nable to establish a connection|Cannot connect|host engine is not running"
)
ENTITY = {"gpu": "gpu", "switch": "nvswitch", "nvswitch": "nvswitch", "cpu": "cpu"}
MOST = 256

COMMAND = f"""
command -v dcgmi >/dev/null || {{ echo 'dcgmi: not found' >&2; exit 127; }}
dcgmi health -c -j 2>&1; echo "{END} $?"
"""


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """What our question brings back.  `state` unwatched: DCGM is there and nobody had it watch."""
    said, ended, code = stdout.rpartition(f"{END} ")
    if not ended or not re.fullmatch(r"\d{1,3}\n", code):
        yield Trouble(Kind.CUT, "dcgmi's answer has no end")
        return
    yield from health(said)


def health(text: str) -> Iterator[Fact | Trouble]:
    """JSON or table.  Of a part of which nothing is said, DCGM found nothing."""
    if UNWATCHED.search(text) and REPORT not in text:
        yield Diagnosis(NODE, BY, "unwatched", text=visible(text.strip(), 160))
    elif (at := text.find("{")) >= 0 and REPORT in text:
        yield from health_json(text[at:])
    elif REPORT in text or "Overall Health" in text:
        yield from health_table(text)
    else:
        yield Trouble(Kind.UNREADABLE, f"no health report in {visible(text.strip(), 120)!r}")


def health_json(text: str) -> Iterator[Fact | Trouble]:
    try:
        told, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"dcgmi's JSON: {visible(str(error), 120)}")
        return
    body = mapping(mapping(told).get("body"))
    overall = mapping(body.get("Overall Health")).get("value")
    yield state(NODE, overall)
    for group, held in body.items():
        kind = ENTITY.get(str(group).lower())
        for number, entity in mapping(mapping(held).get("children")).items() if kind else ():
            part = f"{kind}{visible(str(number), 20)}"
            errors = mapping(mapping(entity).get("children")).get("Errors")
            systems = mapping(mapping(errors).get("children"))
            if not systems:
                yield state(part, mapping(entity).get("value"))
            for system, said in systems.items():
                lines = mapping(said).get("overflow")
                words = lines if isinstance(lines, list) else [lines or ""]
                yield state(part, mapping(said).get("value"), str(system), joined(words))


def joined(lines: list[Any]) -> str:
    return " ".join(str(line).strip() for line in lines).strip()


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def state(part: str, value: object, about: str = "", text: str = "") -> Diagnosis | Trouble:
    word = str(value).strip().lower()
    if word not in STATES:
        return Trouble(Kind.UNREADABLE, f"not a state: {visible(str(value), 60)!r}", part)
    return Diagnosis(
        part, BY, word.replace(" ", "_"), visible(about.lower(), 40), visible(text, 400)
    )


WIDEST = 400  # its rows have 88 characters
ROW = re.compile(r"\|\s?(.*?)\s*\|\s?(.*?)\s*\|?")
OVERALL = re.compile(r"Overall Health:? *\|? *:? *([A-Za-z ]+?) *\|?")


def health_table(text: str) -> Iterator[Fact | Trouble]:
    """Rows are a tree by `->`; text of a cell goes on in rows whose first cell is empty."""
    found: list[tuple[str, str, str, list[str]]] = []
    overall, kind, part = "", "", ""
    ended = text.rstrip().endswith("+")
    for line in (row[:WIDEST] for row in text.split("\n")):
        row = ROW.fullmatch(line.strip())
        cells = (row[1].strip(), row[2].strip()) if row else ("", "")
        name = cells[0].lstrip("-> ").strip()
        if said := OVERALL.fullmatch(line.strip(" |")):
            overall = said[1]
        elif ENTITY.get(cells[0].lower()):
            kind = ENTITY[cells[0].lower()]
        elif kind and re.fullmatch(r"-> \d{1,4}", cells[0]):
            part = f"{kind}{int(name)}"
            found.append((part, "", cells[1], []))
        elif part and name and name != "Errors":
            found.append((part, name, cells[1], []))
        elif found and not cells[0] and cells[1]:
            found[-1][3].append(cells[1])
    yield state(NODE, overall)
    if not ended:
        yield Trouble(Kind.CUT, "dcgmi's table has no end")
    about = {part for part, system, _, _ in found if system}
    for part, system, value, lines in found:
        if system or part not in about:
            yield state(part, value, system, joined(list(lines)))


# ----------------------------------------------------------------------------- other outputs

GPU_ROW = re.compile(r"\| *(\d{1,3}) *\| *Name: (.*?) *\|")
MORE = re.compile(r"\| *\| *(PCI Bus ID|Device UUID): *(\S+) *\|")
GPUS_FOUND = re.compile(r"(?m)^(\d{1,4}) GPUs? found\.")


def discovery(text: str) -> Iterator[Fact | Trouble]:
    """`dcgmi discovery -l`."""
    cards: dict[int, dict[str, str]] = {}
    last = -1
    for line in text.split("\n"):
        if found := GPU_ROW.fullmatch(line.strip()):
            last = int(found[1])
            cards[last] = {"model": visible(found[2], 120)}
        elif last >= 0 and (found := MORE.fullmatch(line.strip())):
            cards[last]["pci" if found[1].startswith("PCI") else "uuid"] = found[2]
    for index, told in cards.items():
        part = f"gpu{index}"
        try:
            pci = pci_address(told.get("pci", ""))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), part)
            continue
        uuid = visible(told.get("uuid", ""), 60)
        yield Accelerator(part, "nvidia", index, uuid, model=told["model"], pci=pci)
    promised = GPUS_FOUND.search(text)
    for index in range(min(int(promised[1]), MOST) if promised else 0):
        if index not in cards:
            yield Trouble(Kind.CUT, "DCGM counts this GPU and does not show it", f"gpu{index}")


def nvlink_errors(text: str) -> Iterator[Fact | Trouble]:
    """`dcgmi nvlink -e -g N -j`; whether a link is up, it does not say."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"dcgmi's JSON: {visible(str(error), 120)}")
        return
    header = mapping(told).get("header")
    names = [re.fullmatch(r"GPU (\d{1,3})", str(one)) for one in header or ()] if header else []
    number = next((one[1] for one in names if one), None)
    if number is None:
        yield Trouble(Kind.UNREADABLE, "the JSON names no GPU")
        return
    part = f"gpu{int(number)}"
    for name, held in mapping(mapping(told).get("body")).items():
        found = re.fullmatch(r"Link (\d{1,3})", str(name))
        try:
            counters = {
                counter_name(key): count(str(mapping(cell).get("value")))
                for key, cell in mapping(mapping(held).get("children")).items()
            }
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"{visible(str(name), 20)}: {error}", part)
            continue
        if found:
            yield Link(f"{part}/link{int(found[1])}", part, "nvlink", "unknown", counters=counters)


def counter_name(key: object) -> str:
    """CRC FLIT Error as NVML's crc_flit_errors."""
    return visible(str(key).lower().replace(" ", "_") + "s", 60)


def read(text: str) -> Iterator[Fact | Trouble]:
    """Any output of dcgmi but `diag`, which loads hardware and is a trial's."""
    head = text.lstrip()
    if END in text:
        yield from parse(text)
    elif "GPUs found." in text or "GPU found." in text:
        yield from discovery(text)
    elif head.startswith("{") and "NVLINK Error Counts" in text:
        yield from nvlink_errors(text)
    elif re.search(r"DCGM (?:GPU )?Diagnostic|\| Diagnostic +\|", text):
        yield Trouble(Kind.UNREADABLE, "this is `dcgmi diag`: read it as dcgmi_diag")
    else:
        yield from health(text)


READS: dict[str, Reader] = {"dcgmi": read}
PROBES = (
    Probe(
        Question(
            "dcgmi_health",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            group="dcgm",
        ),
        parse,
        yields=(Diagnosis,),
        about="What DCGM says of the GPUs, NVSwitches and CPUs that it watches",
        optional=True,
        tool="dcgmi",
        applies=Applies(
            pci_vendors=("10de",),
            kinds=("accelerator",),
            why_not="no NVIDIA accelerator on the PCI bus",
        ),
        proven="documentation",
    ),
)
