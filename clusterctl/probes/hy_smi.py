"""Hygon DCUs by hy-smi (/opt/hyhal/bin), or by the rocm-smi of older DTKs (/opt/dtk/bin).

Its options: Hygon's developer community, forum.sourcefind.cn.  Its shapes: those of old ROCm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterctl.model import Accelerator, Applies, Fact, Kind, Probe, Question, Trouble, Version
from clusterctl.probes.rocm_smi import HYGON, device, empty
from clusterctl.probes.smi_log import Log, first, read
from clusterctl.probes.smi_log_cells import word
from clusterctl.probes.tool_calls import calls
from clusterctl.spelling import visible

CALL_S, ALL_S = 15, 35
AMD = re.compile(r"ROCm System Management|Advanced Micro Devices")
NOT_HYGON = "this is what AMD's rocm-smi prints; rocm_smi reads it"
# For nodes without Python: the table alone, in the same frame.
POSIX = (
    'for p in "$(command -v hy-smi)" /opt/hyhal/bin/hy-smi /usr/local/hyhal/bin/hy-smi; do '
    '[ -x "$p" ] || continue; echo "== clusterctl calls 1"; echo "== call hy-smi"; '
    'LC_ALL=C "$p" </dev/null; echo "== exit $?"; echo "== end 1"; exit 0; done; '
    "echo 'hy-smi: not found in PATH and /opt/hyhal/bin' >&2; exit 127"
)
NO_DEVICE = re.compile(r"No device available[^\n]*")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Every DCU that any of the texts names, with what all of them say of it."""
    asked, troubles = calls(stdout)
    texts = [call.text for call in asked]
    yield from (trouble for trouble in troubles if not NO_DEVICE.search(trouble.detail))
    if any(AMD.search(text) and not HYGON.search(text) for text in texts):
        yield Trouble(Kind.UNREADABLE, NOT_HYGON)
        return
    if said := next((found[0] for text in texts if (found := NO_DEVICE.search(text))), ""):
        yield Trouble(Kind.EXIT, visible(said, 120))
        return
    log = read(texts, "dcu")
    yield from log.troubles
    yield from empty(asked, log)
    if driver := word("driver version")(log.system):
        yield Version("driver/hydcu", driver)
    yield from incomplete(len(asked), log)
    for index in sorted(log.devices):
        told = log.devices[index]
        yield from device(f"dcu{index}", "hygon", index, told, health=health(told))


def incomplete(asked: int, log: Log) -> Iterator[Trouble]:
    """A trouble for each DCU that the table shows and the JSON does not, or the other way round."""
    by_table = {index for index, told in log.devices.items() if "pwrcap" in told}
    by_json = {
        index
        for index, told in log.devices.items()
        if set(told) & {"device id", "card series", "unique id"}
    }
    if asked > 1 and by_table and by_json:
        for index in sorted(by_table ^ by_json):
            yield Trouble(Kind.CUT, "only one of its two answers shows this DCU", f"dcu{index}")


def health(told: Mapping[str, str]) -> str | None:
    """The column Mode; tables of older DTKs have none."""
    found = first(told, ("mode",))
    if found is None:
        return None
    return "ok" if found[1] == "Normal" else visible(found[1].lower().replace(" ", "_"), 40)


PROBES = (
    Probe(
        Question(
            "hy_smi",
            command=(str(CALL_S), str(ALL_S)),
            script="ask_hy_smi",
            modules=("tool_calls",),
            without_python=("sh", "-c", POSIX),
            timeout_s=ALL_S + 10.0,
            brief=True,
        ),
        parse,
        yields=(Accelerator, Version),
        about="Hygon DCUs, from hy-smi or the rocm-smi of DTK",
        subject="hygon",
        applies=Applies(
            pci_vendors=("1d94",),
            kinds=("accelerator",),
            why_not="no Hygon accelerator on the PCI bus",
        ),
    ),
)
