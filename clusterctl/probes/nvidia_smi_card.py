"""One GPU as nvidia-smi's XML holds it, and as its other outputs are brought into that form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from clusterctl.model import (
    Accelerator,
    DeviceProcess,
    Fact,
    Kind,
    Partition,
    Trouble,
    Version,
)
from clusterctl.probes.fields import every
from clusterctl.probes.nvidia_smi_cells import FIELDS, cell, counter, label, process, size
from clusterctl.spelling import Unreadable, count, visible

BROKEN_CELLS = frozenset({"err!", "unknown error", "[unknown error]", "gpu is lost"})


def element(told: Mapping[str, str]) -> ET.Element:
    """The XML's tree, of {path in it: text}."""
    root = ET.Element("gpu")
    for path, text in told.items():
        node = root
        for tag in path.split("/"):
            found = node.find(tag)
            node = ET.SubElement(node, tag) if found is None else found
        node.text = text
    return root


def readings(
    part: str, index: int | None, found: ET.Element, *, unasked: tuple[str, ...] = ()
) -> Iterator[Fact | Trouble]:
    """`unasked`: fields that this output does not hold, though every GPU has them."""
    asked = {name: read for name, read in FIELDS.items() if name not in unasked}
    values, troubles = every(part, asked, found)
    yield from troubles
    if not troubles:
        yield from broken(part, found)
    yield Accelerator(part, "nvidia", index, **values)  # type: ignore[arg-type]
    yield from versions(part, found)
    yield from partitions(part, found)
    for item in found.iterfind("processes/process_info"):
        try:
            pid, name, used = process(item)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"process: {visible(str(error), 120)}", part)
        else:
            yield DeviceProcess(part, pid, name, used)


def broken(part: str, found: ET.Element) -> Iterator[Trouble]:
    """Cells that nobody reads here and that hold an error: one is enough to look at the card."""
    bad = [node for node in found.iter() if (node.text or "").strip().lower() in BROKEN_CELLS]
    if bad:
        names = ", ".join(dict.fromkeys(node.tag for node in bad))
        said = (bad[0].text or "").strip()
        yield Trouble(Kind.UNREADABLE, visible(f"an error: {said!r} ({names})", 200), part)


def versions(part: str, found: ET.Element) -> Iterator[Fact | Trouble]:
    for name, path in (("vbios", "vbios_version"), ("inforom", "inforom_version/img_version")):
        try:
            version = label(path)(found)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, visible(f"{error} ({name})", 120), part)
        else:
            if version:
                yield Version(f"{name}/{part}", version)


def partitions(part: str, found: ET.Element) -> Iterator[Partition | Trouble]:
    """A GPU in MIG mode tells some of its counters by instance only."""
    for item in found.iterfind("mig_devices/mig_device"):
        try:
            yield Partition(
                f"{part}/mig{count(cell(item, 'index') or '')}",
                part,
                uuid=label("uuid")(item),
                profile=label("profile")(item),
                memory_total_bytes=size("fb_memory_usage/total")(item),
                memory_used_bytes=size("fb_memory_usage/used")(item),
                ecc_uncorrected_volatile=counter(
                    "ecc_error_count/volatile_count/sram_uncorrectable"
                )(item),
            )
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"MIG device: {visible(str(error), 120)}", part)
