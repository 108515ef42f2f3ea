"""Cambricon MLUs by cnmon: https://www.cambricon.com/docs (cnmon user guide; versions 4 to 6).

Known outputs: the table, `info` and its JSON, and `mlulink -s`, the last from documentation only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from clusterctl.model import (
    Accelerator,
    Applies,
    DeviceProcess,
    Fact,
    Kind,
    Link,
    Probe,
    Question,
    Trouble,
    Version,
)
from clusterctl.probes.labelled import blocks
from clusterctl.probes.smi_cards import (
    Readers,
    bare,
    card,
    complaints,
    counted,
    halves,
    leaves,
    parsed,
    positive,
    quantity,
    refuse,
    size,
    tabled,
    version,
    words,
)
from clusterctl.probes.smi_tables import Cells
from clusterctl.spelling import Unreadable, pci_address, visible

BANNER = re.compile(r"CNMON v\S+\s+Driver +(v?[0-9][\w.+-]*)")
CARD = re.compile(r"Card (\d{1,3})")
LINK = re.compile(r"\s+(?:MLU-?Link|Link|Port)[ -]?(\d{1,3})\s*:\s*(\S.*?)\s*", re.IGNORECASE)
UNDECIDED = "Ecc-Error"
STATES = {"enable": "up", "enabled": "up", "active": "up", "up": "up"}
DOWN = {"disable": "inactive", "disabled": "inactive", "inactive": "inactive", "down": "down"}
SPEEDS = {"2.5": 1, "5": 2, "8": 3, "16": 4, "32": 5, "64": 6}  # GT/s


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """A card's part is mlu0, by its number in cnmon."""
    items = list(parsed(stdout, read, "cambricon", json=True))
    known = {
        item.part
        for item in items
        if isinstance(item, Accelerator) and item.ecc_uncorrected_volatile is not None
    }
    for item in items:
        if isinstance(item, Trouble) and item.part in known and item.detail.startswith(UNDECIDED):
            continue
        yield item


def read(text: str) -> Iterator[Fact | Trouble]:
    """Any one output."""
    if '"CnmonInfo"' in text:
        yield from from_json(text)
        return
    if "Bus-Id" in text:
        if driver := BANNER.search(text):
            yield Version("driver/cambricon", driver[1])
        yield from tabled(text, "Bus-Id", "card", "mlu", TABLE)
    elif "Product Name" in text:
        for opens, found in blocks(text, CARD):
            yield from listed(int(opens[1]) if opens else None, found)
    else:
        yield from links(text)
    yield from complaints(text, "mlu")


# --------------------------------------------------------------------------- the table


def power(side: int) -> Callable[[Cells], float | None]:
    return lambda found: quantity(halves(found.get("pwr:usage/cap"))[side], "W")


def memory(side: int) -> Callable[[Cells], int | None]:
    return lambda found: size(halves(found.get("memory-usage"))[side])


def no_errors(found: Cells) -> int | None:
    """None of either kind where there are none; which kind they are, the table does not say."""
    errors = positive(found.get("ecc-error"))
    if errors:
        raise Unreadable(f"{UNDECIDED} {errors}: `cnmon info` knows whether they were corrected")
    return errors


def address(found: Cells) -> str:
    said = words(found.get("bus-id"))
    return pci_address(said) if said else ""


TABLE: Readers = {
    "model": lambda found: words(found.get("name")),
    "pci": address,
    "temp_c": lambda found: quantity(found.get("temp"), "C"),
    "power_w": power(0),
    "power_limit_w": power(1),
    "utilisation_percent": lambda found: quantity(found.get("util"), "%"),
    "memory_total_bytes": memory(1),
    "memory_used_bytes": memory(0),
    "ecc_on": lambda found: None if positive(found.get("ecc-error")) is None else True,
    "ecc_corrected_volatile": no_errors,
    "ecc_uncorrected_volatile": no_errors,
}


# --------------------------------------------------------------------------- info and its JSON


def listed(index: int | None, found: Cells) -> Iterator[Fact | Trouble]:
    """A card of `cnmon info`.  Paths are compared without blanks and case, as JSON spells them."""
    said = {spelled(path): text for path, text in found.items()}
    if driver := said.get("driver"):
        yield Version("driver/cambricon", visible(driver, 40))
    if index is None:
        if "productname" in said:
            yield Trouble(Kind.CUT, "values of a card stand before any line that names one")
        return
    part = f"mlu{index}"
    yield from version("firmware", part, said.get("firmware"))
    yield from card(part, index, said, INFO)
    yield from holders(part, found)


def spelled(path: str) -> str:
    return re.sub("[^a-z0-9/%]", "", path.lower())


def health(found: Cells) -> str | None:
    """Good and Running are well; of the driver's other states, boot error and reset are some."""
    device, driver = words(found.get("healthstate/device")), words(found.get("healthstate/driver"))
    bad = [
        f"{name} {state.lower()}"
        for name, state, good in (("device", device, "Good"), ("driver", driver, "Running"))
        if state not in {"", good}
    ]
    return ", ".join(bad) or ("ok" if device else None)


def plain(path: str, unit: str) -> Callable[[Cells], float | None]:
    """JSON leaves the units out; they are those of the text."""

    def read(found: Cells) -> float | None:
        text = found.get(path, "")
        return quantity(f"{text} {unit}" if re.fullmatch(r"-?[0-9.]+", text) else text, unit)

    return read


def mebibytes(*paths: str) -> Callable[[Cells], int | None]:
    def read(found: Cells) -> int | None:
        text = next((found[path] for path in paths if path in found), "")
        return size(f"{text} MiB" if re.fullmatch("[0-9]+", text) else text)

    return read


def place(found: Cells) -> str:
    names = ("domainid", "busnum", "bus", "device", "function")
    told = {name: found[f"pci/{name}"] for name in names if f"pci/{name}" in found}
    if not told:
        return ""
    bus = told.get("busnum", told.get("bus", ""))
    return pci_address(
        f"{told.get('domainid', '')}:{bus}:{told.get('device', '')}.{told.get('function', '')}"
    )


def speed(name: str) -> Callable[[Cells], int | None]:
    def read(found: Cells) -> int | None:
        text = words(found.get(name))
        if not text:
            return None
        number = text.removesuffix("GT/s").strip().removesuffix(".0")
        if not text.endswith("GT/s") or number not in SPEEDS:
            raise Unreadable(f"no PCIe speed: {text!r}")
        return SPEEDS[number]

    return read


def lanes(name: str) -> Callable[[Cells], int | None]:
    return lambda found: positive(words(found.get(name)).strip("xX"))


def errors(kind: str) -> Callable[[Cells], int | None]:
    """Counts whose label says what kind they are: one bit ecc, uncorrected, …"""
    pattern = re.compile(kind)
    return lambda found: counted(
        text for path, text in found.items() if "ecc" in path and pattern.search(path)
    )


INFO: Readers = {
    "model": lambda found: words(found.get("productname")),
    "uuid": lambda found: words(found.get("uuid")),
    "serial": lambda found: words(found.get("sn") or found.get("serialnumber")),
    "pci": place,
    "health": health,
    "temp_c": plain("temperature/chip", "C"),
    "temp_memory_c": plain("temperature/memory", "C"),
    "power_w": plain("power/usage", "W"),
    "power_limit_w": plain("power/cap", "W"),
    "utilisation_percent": plain("utilization/mluaverage", "%"),
    "memory_total_bytes": mebibytes("physicalmemoryusage/total", "physicalmemusage/total"),
    "memory_used_bytes": mebibytes("physicalmemoryusage/used", "physicalmemusage/used"),
    "ecc_corrected_volatile": errors("(?:one|single)bit|(?<!un)correct"),
    "ecc_uncorrected_volatile": errors("(?:two|double|multi)(?:ple)?bit|uncorrect"),
    "pcie_gen": speed("pci/currentspeed"),
    "pcie_gen_max": speed("pci/maxspeed"),
    "pcie_width": lanes("pci/currentwidth"),
    "pcie_width_max": lanes("pci/maxwidth"),
}


def holders(part: str, found: Cells) -> Iterator[Fact | Trouble]:
    pids = [path for path in found if re.fullmatch(r"Processes/Process.*/PID", path)]
    for path in pids:
        above = path.removesuffix("/PID")
        try:
            pid, used = positive(found[path]), size(found.get(f"{above}/MLU Memory Usage"))
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, f"process: {visible(str(error), 100)}", part)
            continue
        if pid is not None:
            yield DeviceProcess(part, pid, visible(found.get(f"{above}/cmdline", ""), 200), used)


def from_json(text: str) -> Iterator[Fact | Trouble]:
    """cnmon_info.json, which `cnmon info -j` leaves in the current folder."""
    try:
        told = json.loads(text[text.index("{") :], parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        yield Trouble(Kind.UNREADABLE, f"not JSON: {visible(str(error), 100)}")
        return
    cards = told.get("CnmonInfo") if isinstance(told, dict) else None
    for found in cards if isinstance(cards, list) else ():
        flat = dict(leaves(found))
        if re.fullmatch("[0-9]{1,3}", number := flat.get("CardNum", "")):
            yield from listed(int(number), flat)
        else:
            yield Trouble(Kind.UNREADABLE, f"a card without its number: {visible(str(found), 80)}")


# --------------------------------------------------------------------------- mlulink


def links(text: str) -> Iterator[Fact | Trouble]:
    part = ""
    for line in text.split("\n"):
        if opens := CARD.fullmatch(line.strip()):
            part = f"mlu{int(opens[1])}"
        elif part and (found := LINK.fullmatch(line)):
            state = (STATES | DOWN).get(found[2].lower())
            name = f"{part}/link{int(found[1])}"
            if state:
                yield Link(name, part, "mlulink", state)
            else:
                yield Trouble(Kind.UNREADABLE, f"no state of a link: {visible(found[2], 40)}", name)


PROBES = (
    Probe(
        Question(
            "cnmon",
            ("10", "40"),
            script="ask_cnmon",
            modules=("tool_calls",),
            timeout_s=45.0,
            without_python=bare("/usr/local/neuware/bin", "cnmon"),
        ),
        parse,
        yields=(Accelerator, Link, DeviceProcess, Version),
        about="Cambricon MLUs, their MLU-Links and the processes on them, from cnmon",
        applies=Applies(
            pci_vendors=("cabc",),
            kinds=("accelerator",),
            why_not="no Cambricon accelerator on the PCI bus",
        ),
    ),
)
