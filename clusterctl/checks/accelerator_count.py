"""Are all accelerators there, and does the driver show every card that sits on the bus?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clusterctl.kernel_log import slot
from clusterctl.model import (
    Accelerator,
    Check,
    Cpu,
    Evidence,
    Kind,
    PcieDevice,
    Severity,
    Status,
    Verdict,
)
from clusterctl.peers import majority
from clusterctl.verdicts import (
    SEE_WHY,
    facts_of,
    failing,
    hidden,
    make,
    number_in,
    passing,
    skipping,
    unknown,
    warning,
)

PART = "accelerators"
MORE = "more than this kind of node has"
BUS = "this node's own PCI bus"
NONE = "if it is meant to have none, label it accelerators: 0 in the inventory"
PASSED_THROUGH = frozenset({"vfio-pci", "pci-stub", "xen-pciback"})


@dataclass(frozen=True, slots=True)
class Seat:
    """The accelerators of one node: `undriven` and `unshown` sit on the bus and nobody shows them.

    `unshown`: of a vendor that shows other cards here.  `mute`: no card of that vendor is shown.
    `strangers`: not shown, and no probe asks cards of that vendor.  `thin`: a card of several
    devices, of which it shows fewer than another card of its model.
    """

    shown: int
    on_bus: int
    undriven: tuple[str, ...]
    unshown: tuple[str, ...]
    mute: tuple[PcieDevice, ...]
    strangers: tuple[PcieDevice, ...]
    thin: tuple[str, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        return self.undriven + self.unshown

    @property
    def here(self) -> int:
        """How many cards this node has, as far as anybody can see."""
        return max(self.shown, self.on_bus)


def seat(evidence: Evidence) -> Seat:
    shown = facts_of(evidence, Accelerator)
    slots = {slot(card.pci) for card in shown if card.pci}
    vendors = {card.vendor for card in shown}
    cards = [
        card
        for card in facts_of(evidence, PcieDevice)
        if card.kind == "accelerator" and card.driver not in PASSED_THROUGH
    ]
    # A tool that shows one card of a vendor shows them all, whether or not we know its PCI id.
    told = {card.vendor_id for card in cards if slot(card.part) in slots}
    known = [card for card in cards if card.vendor_id in told or (card.vendor and card.askable)]
    hidden = [card for card in known if slot(card.part) not in slots]
    driven = [card for card in hidden if card.driver]
    mine = [card for card in driven if card.vendor in vendors or card.vendor_id in told]
    return Seat(
        shown=len(shown),
        on_bus=len(known),
        undriven=tuple(card.part for card in hidden if not card.driver),
        # Tools that give no bus address can only be counted against.
        unshown=tuple(
            card.part for card in mine if all(c.pci for c in shown) or len(shown) < len(known)
        ),
        mute=tuple(card for card in driven if card not in mine),
        strangers=tuple(card for card in cards if card not in known),
        thin=tuple(thin(shown)),
    )


def thin(shown: Sequence[Accelerator]) -> Iterator[str]:
    """Devices that share one address are of one card: the dies of a board, the SPAs of a T1."""
    devices = Counter((card.model, slot(card.pci)) for card in shown if card.pci)
    most: Counter[str] = Counter()
    for (model, _), count in devices.items():
        most[model] = max(most[model], count)
    yield from (place for (model, place), count in devices.items() if count < most[model])


def judge(fleet: Sequence[Evidence]) -> Iterator[Verdict]:
    seats = [seat(evidence) for evidence in fleet]
    kinds = [make(evidence) for evidence in fleet]
    usual = voted(fleet, kinds, [seen.here for seen in seats])
    processors = [processor(evidence) for evidence in fleet]
    on_bus = [seen.on_bus for seen in seats]
    slots = voted(fleet, processors, on_bus) | voted(fleet, kinds, on_bus)
    beside = voted(fleet, processors, [seen.here for seen in seats])
    for evidence, seen, kind, cpus in zip(fleet, seats, kinds, processors, strict=True):
        yield from strangers(evidence, seen)
        if seen.here or usual.get(kind) or "accelerators" in evidence.limits:
            verdict = count(evidence, seen, usual.get(kind))
        else:
            verdict = bare(evidence, beside.get(cpus))
        yield excused(evidence, seen, verdict, slots.get(kind) or slots.get(cpus) or 0)


def processor(evidence: Evidence) -> str:
    return " + ".join(sorted({cpu.model for cpu in facts_of(evidence, Cpu)}))


def voted(
    fleet: Sequence[Evidence], kinds: Sequence[str], counts: Sequence[int]
) -> dict[str, int | None]:
    """How many most nodes of a kind have.  Who could not see all that it has does not vote."""
    votes: defaultdict[str, list[int]] = defaultdict(list)
    for evidence, kind, here in zip(fleet, kinds, counts, strict=True):
        if kind and not (hidden(evidence, PcieDevice) or silent(evidence)):
            votes[kind].append(here)
    return {kind: majority(found) for kind, found in votes.items()}


def silent(evidence: Evidence) -> str:
    """Why the driver may show more cards than were seen; empty: it showed all that it has.

    That it failed at one card and went on is its word about that card.
    """
    gaps = evidence.gaps.get(Accelerator, ())
    return next((gap.why for gap in gaps if not gap.part or gap.trouble.kind is not Kind.EXIT), "")


def excused(evidence: Evidence, seen: Seat, verdict: Verdict, slots: int) -> Verdict:
    """UNKNOWN where the verdict rests on a card that was not seen, and it may be there.

    `slots`: how many cards sit on the bus of most nodes like this one; 0: nobody knows.
    """
    bus, driver = hidden(evidence, PcieDevice), silent(evidence)
    if not (bus or driver) or verdict.status is Status.UNKNOWN or verdict.why == MORE:
        return verdict
    if verdict.status in {Status.PASS, Status.SKIP}:  # as many as a list shows that may be short
        blind = bus if verdict.source in {"", BUS} else ""
    elif seen.undriven or (not bus and off_the_bus(evidence, seen, slots)):
        blind = ""
    else:
        blind = driver or ("" if seen.lost else bus)
    if not blind:
        return verdict
    return unknown(
        evidence,
        verdict.part,
        f"not every card that is here was seen: {blind}",
        expected=verdict.expected,
        actual=f"{seen.here} seen",
        remedy=SEE_WHY,
        source=verdict.source,
    )


def bare(evidence: Evidence, beside: int | None) -> Verdict:
    """No card on the bus, and nothing says how many there should be: a whole board may be dead."""
    had = seat(replace(evidence, facts=evidence.earlier)).here
    if had:
        return failing(
            evidence,
            PART,
            expected=str(had),
            actual="0",
            why="all gone since the last reading",
            remedy=f"power the node off and on; {NONE}",
            severity=Severity.ISOLATE,
            source="this node's last reading",
            yardstick="past",
        )
    if beside:
        return unknown(
            evidence,
            PART,
            f"none on the bus, and most nodes with this CPU have {beside}",
            expected=str(beside),
            actual="0",
            remedy=f"power the node off and on; {NONE}",
            source="most nodes with the same CPU",
        )
    if sku := evidence.node.labels.get("sku"):
        return unknown(
            evidence,
            PART,
            f"none was seen here, and nothing says how many a {sku} should have",
            actual="0",
            remedy="say how many by the inventory's accelerators label; 0 where none is meant",
        )
    return skipping(evidence, PART, "no accelerator on the bus and none expected")


def off_the_bus(evidence: Evidence, seen: Seat, slots: int) -> bool:
    """Fewer cards sit there than on most nodes like this one, or here before."""
    before = seat(replace(evidence, facts=evidence.earlier)).on_bus
    return seen.on_bus + len(seen.strangers) < max(slots, before)


def strangers(evidence: Evidence, seen: Seat) -> Iterator[Verdict]:
    for card in seen.strangers:
        ids = f"{card.vendor_id}:{card.device_id}"
        name = f"{ids} ({card.vendor})" if card.vendor else ids
        yield unknown(
            evidence,
            card.part,
            f"a {name} is in this slot and nothing here can ask it",
            actual=ids,
            remedy="ask the card's own tool by hand; a probe for this vendor is missing",
        )


def count(evidence: Evidence, seen: Seat, usual: int | None) -> Verdict:
    floor = evidence.limits.get("accelerators")
    if floor is not None:
        wanted, source, yardstick = int(number_in(floor)), floor.source, "floor"
    elif usual is not None and usual > seen.on_bus:
        wanted, source, yardstick = usual, "most nodes of this kind", "peers"
    else:
        wanted, source, yardstick = seen.on_bus, BUS, "floor"
    if not wanted and not seen.here:
        return skipping(evidence, PART, "no accelerator on the bus and none expected")
    if seen.shown < wanted or seen.lost:
        return short(evidence, seen, wanted, source, yardstick)
    if floor is not None and seen.shown > wanted:
        return warning(
            evidence,
            PART,
            expected=str(wanted),
            actual=str(seen.shown),
            why=MORE,
            remedy="check the node's sku label in the inventory",
            source=source,
        )
    if not wanted:
        return unknown(
            evidence,
            PART,
            "nothing says how many there should be",
            actual=str(seen.shown),
            remedy="give the node a sku label, or set the expected number in the playbook",
        )
    odd = half_a_board(evidence, seen) if floor is None else None
    return (
        odd
        or uneven(evidence, seen)
        or passing(
            evidence,
            PART,
            str(seen.shown),
            expected=str(wanted),
            source=source,
            yardstick=yardstick,
        )
    )


def half_a_board(evidence: Evidence, seen: Seat) -> Verdict | None:
    board = evidence.limits.get("usual_accelerators")
    if board and number_in(board) / 2 < seen.here < number_in(board):
        return warning(
            evidence,
            PART,
            expected=f"{number_in(board):.0f} on a whole board",
            actual=str(seen.shown),
            why="more than half a board and not all of it",
            remedy="look for the rest, or set the inventory's accelerators label if that is right",
            source=board.source,
        )
    return None


def uneven(evidence: Evidence, seen: Seat) -> Verdict | None:
    if seen.thin:
        return warning(
            evidence,
            PART,
            expected="as many devices on each card",
            actual=str(seen.shown),
            why=f"fewer than on other cards of the model: {', '.join(seen.thin)}",
            remedy="read the kernel log for these addresses, reset the card",
            source="cards of this model in this node",
            yardstick="peers",
        )
    return None


def short(evidence: Evidence, seen: Seat, wanted: int, source: str, yardstick: str) -> Verdict:
    mute = ", ".join(card.part for card in seen.mute)
    if seen.mute and not seen.lost and seen.here >= wanted:
        return unknown(
            evidence,
            PART,
            f"on the bus with a driver bound, and no tool shows it: {mute}",
            expected=str(wanted),
            actual=str(seen.shown),
            remedy="see why the vendor's tool did not answer",
            source=source,
        )
    if seen.lost:
        why = f"on the bus and not shown by the driver: {', '.join(seen.lost)}"
        remedy = "read the kernel log for these addresses, reboot; if still gone, reseat the card"
        severity = Severity.REBOOT_NODE
    elif seen.thin:
        why = f"fewer than on other cards of the model: {', '.join(seen.thin)}"
        remedy = "read the kernel log for these addresses, reset the card"
        severity = Severity.RESET_DEVICE
    else:
        why = "not even on the PCI bus"
        remedy = "power the node off and on; if still gone, reseat or return the card"
        severity = Severity.ISOLATE
    return failing(
        evidence,
        PART,
        expected=str(max(wanted, seen.here)),
        actual=str(seen.shown),
        why=why,
        remedy=remedy,
        severity=severity,
        source=source,
        yardstick=yardstick,
    )


CHECKS = (
    Check(
        name="accelerator_count",
        asks="Is every accelerator there, and does the driver show each card on the bus?",
        wants=(PcieDevice,),
        uses=(Accelerator, Cpu),
        judge=judge,
        options=("accelerators", "usual_accelerators"),
        scope="fleet",
    ),
)
