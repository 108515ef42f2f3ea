"""Huawei's own network cards by hinicadm3 (SP600), hinicadm (SP500) and hinicadm5 (Atlas 950).

`info` names each card, its make and its functions: Huawei's SP670 and SP680 guides.  `sfp` shows a
port's module lane by lane: Ascend/mind-cluster, ascend-faultdiag's host_parser_a5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clusterctl.model import Applies, Fact, Kind, Optic, Probe, Question, Trouble, Version
from clusterctl.probes.ascend_sections import TOOLS, Section, failure, sections
from clusterctl.spelling import Unreadable, number, pci_address, visible

CARDS = re.compile(r"Card num *: *(\S+)\s*")
CARD = re.compile(r"\s*\|-{4}(\w{1,20})\((\w{1,40})\)\s*")
FUNCTION = re.compile(r"\s*\|-{8}([0-9A-Fa-f:.]{7,16})\((\w{1,10}):(\S{1,40})\)\s*")
PORTS = re.compile(r"CAL_(\d)X\d+G\w*")  # CAL_4X25G: four ports
LANES = {
    "bias": re.compile(r"Internally measured Tx(\d{1,2}) bias current monitor: *([\d.]+) *mA"),
    "tx": re.compile(r"Internally measured Tx(\d{1,2}) output optical power: *([\d.]+) *mW.*"),
    "rx": re.compile(r"Internally measured Rx(\d{1,2}) input optical power: *([\d.]+) *mW.*"),
}
MEASURED = re.compile(r"Internally measured [TR]x\d")
LATCHED = re.compile(r"Latched ([TR]x) (LOS|CDR LOL) flag\(([^)]{1,8})\), *(?:media )?lane *(\d+)")


@dataclass(slots=True)
class Card:
    name: str
    make: str
    functions: dict[str, str] = field(default_factory=dict)  # address: NIC and its netdev


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """Each card and what sits on it, as names that peers can be compared by, and its modules."""
    found, troubles = sections(stdout)
    yield from troubles
    mine = [one for one in found if one.tool.startswith("hinicadm") or found[1:] == []]
    if not mine and not troubles:
        yield Trouble(Kind.UNREADABLE, "nothing of hinicadm's in it")
    for section in mine:
        if CARDS.search(section.text):
            yield from info(section.text)
        elif MEASURED.search(section.text) or LATCHED.search(section.text):
            yield from module(section)
        else:
            yield from failure(section)


def info(text: str) -> Iterator[Fact | Trouble]:
    cards, troubles = listed(text)
    yield from troubles
    for card in cards:
        yield Version(f"board/{card.name}", card.make)
        for address, what in card.functions.items():
            yield Version(f"board/{card.name}/{address}", what)
        ports = PORTS.fullmatch(card.make)
        if ports and len(card.functions) < int(ports[1]):
            why = f"a {card.make} of which {len(card.functions)} functions are shown"
            yield Trouble(Kind.CUT, why, card.name)
    told = CARDS.search(text)
    if told and told[1] != str(len(cards)):
        counted = visible(told[1], 20)
        yield Trouble(Kind.CUT, f"it counts {counted} cards and shows {len(cards)}")


def listed(text: str) -> tuple[list[Card], list[Trouble]]:
    cards: list[Card] = []
    troubles: list[Trouble] = []
    for line in text.split("\n"):
        function = FUNCTION.fullmatch(line)
        if match := CARD.fullmatch(line):
            cards.append(Card(match[1], match[2]))
        elif cards and function:
            try:
                address = pci_address(function[1])
            except Unreadable as error:
                troubles.append(Trouble(Kind.UNREADABLE, visible(str(error), 80), cards[-1].name))
            else:
                cards[-1].functions[address] = f"{function[2]} {visible(function[3], 40)}"
        elif "|-" in line:
            troubles.append(Trouble(Kind.UNREADABLE, visible(f"no function: {line.strip()}", 120)))
    return cards, troubles


def module(section: Section) -> Iterator[Fact | Trouble]:
    words = dict(zip(section.arguments, section.arguments[1:], strict=False))
    part = f"{words.get('-i', 'hinic')}/{words.get('-p', '0')}"
    lines = [line.strip() for line in section.text.split("\n")]
    try:
        lanes = light(lines)
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, visible(f"sfp: {error}", 120), part)
        return
    flags = [match for match in map(LATCHED.fullmatch, lines) if match and match[3] != "OK"]
    yield Optic(
        part,
        tx_mw=tuple(lanes["tx"].values()) or None,
        rx_mw=tuple(lanes["rx"].values()) or None,
        bias_ma=tuple(lanes["bias"].values()) or None,
        alarms=tuple(f"{m[1].lower()} {m[2].lower()} of lane {m[4]}: {m[3]}" for m in flags),
    )


def light(lines: Sequence[str]) -> dict[str, Mapping[int, float]]:
    lanes = {name: values(pattern, lines) for name, pattern in LANES.items()}
    if sum(map(len, lanes.values())) != sum(bool(MEASURED.match(line)) for line in lines):
        raise Unreadable("a lane's measurement")
    return lanes


def values(pattern: re.Pattern[str], lines: Sequence[str]) -> Mapping[int, float]:
    found = {
        int(match[1]): number(match[2]) or 0.0 for match in map(pattern.fullmatch, lines) if match
    }
    if sorted(found) != [*range(1, len(found) + 1)]:
        raise Unreadable(f"a lane is missing among {sorted(found)}")
    return dict(sorted(found.items()))


COMMAND = (
    TOOLS
    + """
wait=8 tools=
for t in hinicadm3 hinicadm5 hinicadm; do
  if command -v $t >/dev/null; then tools="$tools $t"; fi
done
[ -n "$tools" ] || { echo 'hinicadm3: not found' >&2; exit 127; }
for t in $tools; do run $t info; done
echo "== end $n"
"""
)
PROBES = (
    Probe(
        Question(
            "hinicadm",
            command=("sh", "-c", COMMAND),
            without_python=("sh", "-c", COMMAND),
            timeout_s=30.0,
        ),
        parse,
        yields=(Version, Optic),
        about="Huawei network cards, their make and functions, from hinicadm",
        applies=Applies(
            pci_vendors=("19e5",), kinds=("nic",), why_not="no Huawei network card on the PCI bus"
        ),
        optional=True,
    ),
)
