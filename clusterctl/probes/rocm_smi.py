"""AMD GPUs by rocm-smi, which ROCm 5 and older have instead of amd-smi, and newer ones beside it.

Source of its keys, tables and lines: ROCm/rocm_smi_lib, python_smi_tools/rocm_smi.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from clusterctl.model import (
    Accelerator,
    Applies,
    Fact,
    Kind,
    Link,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.fields import every
from clusterctl.probes.loose_json import shortened
from clusterctl.probes.smi_log import Log, read
from clusterctl.probes.smi_log_cells import FIELDS, word
from clusterctl.probes.tool_calls import Call, calls
from clusterctl.spelling import Unreadable, visible

CALL_S, ALL_S = 20, 45
# Hygon's DTK has a tool of this name, with other columns and another maker in its JSON.
HYGON = re.compile(r"^\s*[DH]CU\s{2,}Temp|Haiguang|HYGON|\"[DH]CU use|^[DH]CU\[\d", re.MULTILINE)
NOT_ROCM = "this is what the rocm-smi of Hygon's DTK prints; hy_smi reads it"
FAILED = re.compile(r"ERROR|[Nn]o AMD|not (?:initialized|loaded|found)|Unable to|Traceback|No JSON")
STATUS = re.compile(r"\[\s*'?[01]'?(?:\s*,\s*'?[01]'?)*\s*\]")
FIRMWARE = " firmware version"


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every GPU that any of the texts names, with what all of them say of it."""
    asked, troubles = calls(stdout)
    yield from troubles
    if any(HYGON.search(call.text) for call in asked):
        yield Trouble(Kind.UNREADABLE, NOT_ROCM)
        return
    log = read([call.text for call in asked], "gpu")
    yield from log.troubles
    yield from empty(asked, log)
    if driver := word("driver version")(log.system):
        yield Version("driver/amdgpu", driver)
    for index in sorted(log.devices):
        yield from device(f"gpu{index}", "amd", index, log.devices[index])
        yield from links(f"gpu{index}", log.devices[index])


def empty(asked: list[Call], log: Log) -> Iterator[Trouble]:
    """What texts that name no device, or were shortened by hand, are to be called."""
    if any(shortened(call.text) for call in asked):
        yield Trouble(Kind.CUT, 'the text was shortened: it has a line "..."')
    if log.devices or log.troubles or any(call.framed and not call.succeeded for call in asked):
        return
    lines = [line for call in asked for line in call.text.split("\n") if line.strip()]
    said = next((line for line in lines if FAILED.search(line)), None)
    kind = Kind.UNREADABLE if said is None else Kind.EXIT
    yield Trouble(kind, f"no GPU in {visible((said or ''.join(lines[:1])).strip(), 120)!r}")


def device(
    part: str, vendor: str, index: int, told: Mapping[str, str], **more: object
) -> Iterator[Fact | Trouble]:
    values, troubles = every(part, FIELDS, told)
    yield from troubles
    values = more | values
    yield Accelerator(part, vendor, index, **values)  # type: ignore[arg-type]
    readers: list[tuple[str, Callable[[Mapping[str, str]], str]]] = [
        (f"vbios/{part}", word("vbios version", "vbios")),
        *(
            (
                f"firmware/{part}/{visible(key.removesuffix(FIRMWARE).replace(' ', '_'), 40)}",
                word(key),
            )
            for key in told
            if key.endswith(FIRMWARE)
        ),
    ]
    for name, reading in readers:
        try:
            version = reading(told)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, visible(str(error), 120), part)
        else:
            if version:
                yield Version(name, version)


def links(part: str, told: Mapping[str, str]) -> Iterator[Link | Trouble]:
    """--showmetrics: ['1', '0']; a port that is not up may have no peer at all."""
    text = told.get("xgmi_link_status (up/down)")
    if text is None or "N/A" in text:
        return
    if not STATUS.fullmatch(text):
        yield Trouble(Kind.UNREADABLE, f"xgmi_link_status: {visible(text, 80)!r}", part)
        return
    for number, state in enumerate(re.findall("[01]", text)):
        up = "up" if state == "1" else "inactive"
        yield Link(f"{part}/link{number}", part, "xgmi", up)


PROBES = (
    Probe(
        Question(
            "rocm_smi",
            command=(str(CALL_S), str(ALL_S)),
            script="ask_rocm_smi",  # the tool is a Python program itself
            modules=("tool_calls",),
            timeout_s=ALL_S + 10.0,
            brief=True,
        ),
        parse,
        yields=(Accelerator, Link, Version),
        about="AMD GPUs and their xGMI links, from rocm-smi",
        subject="amd",
        rank=1,
        applies=Applies(
            pci_vendors=("1002",),
            kinds=("accelerator",),
            why_not="no AMD accelerator on the PCI bus",
        ),
        optional=True,
    ),
)
