"""Tables of the checks about accelerators on the bus, and the bus."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, gap, row
from sample_cards import CARD, GPU, NAMES, NIC, card, gpu, silent

from clusterctl.model import Accelerator, Cpu, Kind, PcieDevice

EIGHT = tuple(gpu(i) for i in range(8))

EIGHT_CARDS = tuple(card(i) for i in range(8))

CPU = Cpu("cpu", "EPYC")
BOARD = (CPU, *EIGHT, *EIGHT_CARDS)

COUNT = (
    row("eight of eight", *EIGHT, *EIGHT_CARDS, expect={"accelerators": "pass"}),
    row("none on a CPU node is not asked", expect={"accelerators": "skip"}),
    row(
        "all gone since the last reading",
        CPU,
        earlier=(CPU, *EIGHT, *EIGHT_CARDS),
        expect={"accelerators": "fail"},
        says="all gone since",
    ),
    Row(
        "none where most nodes with this CPU have eight",
        {"n1": BOARD, "n2": BOARD, "n3": (CPU,), "n4": BOARD},
        expect={"n1 accelerators": "pass", "n3 accelerators": "unknown"},
        says="accelerators: 0",
    ),
    Row(
        "a head node's CPU is another",
        {"n1": BOARD, "n2": BOARD, "n3": (Cpu("cpu", "other"),), "n4": BOARD},
        expect={"n1 accelerators": "pass", "n3 accelerators": "skip"},
    ),
    row(
        "the inventory says none, whatever was there",
        CPU,
        earlier=EIGHT_CARDS,
        limits={"accelerators": 0},
        expect={"accelerators": "skip"},
    ),
    row(
        "seven where a whole board has eight",
        *EIGHT[:7],
        *EIGHT_CARDS[:7],
        limits={"usual_accelerators": 8},
        expect={"accelerators": "warn"},
    ),
    row(
        "a virtual machine with one of eight is no fault",
        *EIGHT[:1],
        *EIGHT_CARDS[:1],
        limits={"usual_accelerators": 8},
        expect={"accelerators": "pass"},
    ),
    row(
        "the inventory's word ends all guessing",
        *EIGHT[:6],
        *EIGHT_CARDS[:6],
        limits={"usual_accelerators": 8, "accelerators": 6},
        expect={"accelerators": "pass"},
    ),
    row(
        "a card the driver lost is named",
        *EIGHT[:7],
        *EIGHT_CARDS,
        expect={"accelerators": "fail"},
        says="0000:17:00.0",
    ),
    row(
        "a card without a driver is a fault",
        card(driver=""),
        expect={"accelerators": "fail"},
        says="0000:10:00.0",
    ),
    row(
        "a driver is bound and no tool shows anything: not seen is not missing",
        *EIGHT_CARDS,
        expect={"accelerators": "unknown"},
    ),
    row(
        "a vendor nobody knows is unknown, never uncounted",
        replace(CARD, vendor="", vendor_id="1ee0", device_id="0011", driver=""),
        expect={"accelerators": "skip", "0000:1b:00.0": "unknown"},
        says="1ee0:0011",
    ),
    row(
        "a vendor known by name whose cards nothing asks is unknown too, driver or none",
        replace(CARD, vendor="intel", vendor_id="8086", device_id="0bd5", driver="", askable=False),
        expect={"accelerators": "skip", "0000:1b:00.0": "unknown"},
        says="8086:0bd5 (intel)",
    ),
    row(
        "a card whose vendor has no known id is missed once its tool shows another",
        replace(GPU, vendor="tecorigin", pci="0000:10:00.0"),
        replace(CARD, part="0000:10:00.0", vendor="", vendor_id="1234", driver="sdaa"),
        replace(CARD, part="0000:11:00.0", vendor="", vendor_id="1234", driver="sdaa"),
        expect={"accelerators": "fail"},
        says="0000:11:00.0",
    ),
    row(
        "two devices of one card, of a vendor without a known id, are all there",
        replace(GPU, vendor="tecorigin", pci="0000:10:00.0"),
        replace(GPU, part="sdaa1", vendor="tecorigin", pci="0000:10:00.0"),
        replace(CARD, part="0000:10:00.0", vendor="", vendor_id="1234", driver="sdaa"),
        expect={"accelerators": "pass"},
    ),
    row(
        "a card that shows fewer of its devices than its like is said",
        *(replace(GPU, part=f"sdaa{n}", pci=f"0000:1{n // 4}:00.0") for n in range(7)),
        replace(CARD, part="0000:10:00.0"),
        replace(CARD, part="0000:11:00.0"),
        expect={"accelerators": "warn"},
        says="0000:11:00",
    ),
    row(
        "and where more are expected, it is why they are missing",
        *(replace(GPU, part=f"sdaa{n}", pci=f"0000:1{n // 4}:00.0") for n in range(7)),
        replace(CARD, part="0000:10:00.0"),
        replace(CARD, part="0000:11:00.0"),
        limits={"accelerators": 8},
        expect={"accelerators": "fail"},
        says="0000:11:00",
    ),
    row(
        "the inventory expects more than even the bus has",
        *EIGHT[:7],
        *EIGHT_CARDS[:7],
        limits={"accelerators": 8},
        expect={"accelerators": "fail"},
    ),
    row(
        "an expected card is missing where none is on the bus",
        limits={"accelerators": 8},
        expect={"accelerators": "fail"},
    ),
    row(
        "more than expected is said",
        gpu(),
        card(),
        gpu(1),
        card(1),
        limits={"accelerators": 1},
        expect={"accelerators": "warn"},
    ),
    row("shown by a tool, no bus to compare with", gpu(), expect={"accelerators": "unknown"}),
    row(
        "a card handed to a guest is not missing",
        card(driver="vfio-pci"),
        expect={"accelerators": "skip"},
    ),
    row(
        "tools that give no address are compared by count",
        replace(GPU, pci=""),
        CARD,
        expect={"accelerators": "pass"},
    ),
    Row(
        "a card that left even the bus is missed by its peers",
        {
            n: (*EIGHT[: 7 if n == "n2" else 8], *EIGHT_CARDS[: 7 if n == "n2" else 8])
            for n in NAMES
        },
        {"n2 accelerators": "fail", "n1 accelerators": "pass"},
    ),
    Row(
        "a node that lost all its cards is found by its sku",
        {n: () if n == "n2" else (gpu(), card()) for n in NAMES},
        {"n2 accelerators": "fail", "n1 accelerators": "pass"},
        sku="h100",
    ),
    row(
        "a sku that promises no count is no reason to have none",
        expect={"accelerators": "unknown"},
        sku="our-own-box",
        says="our-own-box",
    ),
    row(
        "a kind of node that is labelled to have none",
        expect={"accelerators": "skip"},
        sku="head",
        limits={"accelerators": 0},
    ),
    row(
        "exactly as expected",
        gpu(),
        card(),
        limits={"accelerators": 1},
        expect={"accelerators": "pass"},
    ),
    row(
        "a driver that stopped in the middle has lost no card",
        gpu(),
        *EIGHT_CARDS,
        limits={"accelerators": 8},
        gaps={"n1": {Accelerator: gap()}},
        expect={"accelerators": "unknown"},
        says="no answer in 20 s",
    ),
    row(
        "a card that the driver itself calls lost is",
        *EIGHT[:7],
        *EIGHT_CARDS,
        gaps={"n1": {Accelerator: gap(part="gpu7", kind=Kind.EXIT)}},
        expect={"accelerators": "fail"},
    ),
    row(
        "a card whose row nobody could read is not",
        *EIGHT[:7],
        *EIGHT_CARDS,
        gaps={"n1": {Accelerator: gap(part="gpu7", kind=Kind.UNREADABLE)}},
        expect={"accelerators": "unknown"},
    ),
    row(
        "a card without a driver is a fault, whatever the driver did not say of others",
        card(driver=""),
        gaps={"n1": {Accelerator: gap()}},
        expect={"accelerators": "fail"},
    ),
    row(
        "a bus that was read in part misses no card",
        *EIGHT[:7],
        *EIGHT_CARDS[:7],
        limits={"accelerators": 8},
        gaps={"n1": {PcieDevice: gap()}},
        expect={"accelerators": "unknown"},
    ),
    row(
        "and as many as it shows are no proof that these are all",
        *EIGHT[:7],
        *EIGHT_CARDS[:5],
        gaps={"n1": {PcieDevice: gap()}},
        expect={"accelerators": "unknown"},
    ),
    row(
        "nor that there is none",
        CPU,
        gaps={"n1": {PcieDevice: gap()}},
        expect={"accelerators": "unknown"},
    ),
    Row(
        "a card that left a bus that was read whole is missed, though its driver hangs",
        {n: (gpu(), *EIGHT_CARDS[:7]) if n == "n2" else (*EIGHT, *EIGHT_CARDS) for n in NAMES},
        {"n2 accelerators": "fail", "n1 accelerators": "pass"},
        gaps={"n2": {Accelerator: gap()}},
    ),
    row(
        "and so it is by this node's own last reading",
        gpu(),
        *EIGHT_CARDS[:7],
        earlier=(*EIGHT, *EIGHT_CARDS),
        limits={"accelerators": 8},
        gaps={"n1": {Accelerator: gap()}},
        expect={"accelerators": "fail"},
    ),
    row(
        "more than expected are, whatever else was not seen",
        gpu(),
        card(),
        gpu(1),
        card(1),
        limits={"accelerators": 1},
        gaps={"n1": {Accelerator: gap(), PcieDevice: gap()}},
        expect={"accelerators": "warn"},
    ),
)

WIDTH = (
    row("x16 of x16", replace(CARD, width=16, width_max=16), GPU, expect={"gpu0": "pass"}),
    row(
        "x8 of x16 by its bus",
        replace(CARD, width=8, width_max=16),
        GPU,
        expect={"gpu0": "fail"},
        says="x8",
    ),
    row(
        "x8 of x16 by its driver only",
        CARD,
        replace(GPU, pcie_width=8, pcie_width_max=16),
        expect={"gpu0": "fail"},
    ),
    row("a narrow NIC", replace(NIC, width=8, width_max=16), expect={"0000:a1:00.0": "fail"}),
    row(
        "a NIC made for x8 here",
        replace(NIC, width=8, width_max=16),
        limits={"nic_width": 8},
        expect={"0000:a1:00.0": "pass"},
    ),
    row(
        "a link that is dead", replace(NIC, width=0, width_max=16), expect={"0000:a1:00.0": "fail"}
    ),
    row(
        "a switch's port is not judged",
        replace(NIC, kind="other", width=1, width_max=16),
        expect={"0000:a1:00.0": "skip"},
    ),
    row("a virtual function has no link", NIC, expect={"0000:a1:00.0": "skip"}),
    row(
        "silent among peers",
        CARD,
        replace(GPU, pcie_width_max=16),
        reported=silent("pcie_width"),
        expect={"gpu0": "unknown"},
    ),
    row("half of its link told", replace(NIC, width=8), expect={"0000:a1:00.0": "skip"}),
    row("a card nobody tells the width of", CARD, expect={"0000:1b:00.0": "skip"}),
    row(
        "a function whose most is nothing",
        replace(NIC, width=0, width_max=0),
        expect={"0000:a1:00.0": "skip"},
    ),
)

SLOW = {"pcie_gen": 1, "pcie_gen_max": 5}

GEN = (
    row("full speed", replace(GPU, pcie_gen=5, pcie_gen_max=5), expect={"gpu0": "pass"}),
    row(
        "slow and idle is sleep, not a fault",
        replace(GPU, utilisation_percent=0.0, **SLOW),
        expect={"gpu0": "skip"},
    ),
    row("slow at work", replace(GPU, utilisation_percent=90.0, **SLOW), expect={"gpu0": "fail"}),
    row("load unknown is not load", replace(GPU, **SLOW), expect={"gpu0": "skip"}),
    row("all idle peers slow alike", *(gpu(i, **SLOW) for i in range(8)), expect={}),
    row(
        "one idle card slower than idle peers",
        *(gpu(i, pcie_gen=1 if i == 3 else 5, pcie_gen_max=5) for i in range(8)),
        expect={"gpu3": "warn"},
    ),
    row(
        "alone, a slow slot is no fault",
        replace(NIC, gen=4, gen_max=5),
        expect={"0000:a1:00.0": "skip"},
    ),
    Row(
        "a NIC slower than its peers",
        {n: (replace(NIC, gen=3 if n == "n3" else 4, gen_max=5),) for n in NAMES},
        {"n3 0000:a1:00.0": "fail", "n1 0000:a1:00.0": "pass"},
    ),
    row("silent among peers", GPU, reported=silent("pcie_gen"), expect={"gpu0": "unknown"}),
    row(
        "the bus alone does not judge a card",
        replace(CARD, gen=1, gen_max=5),
        expect={"0000:1b:00.0": "skip"},
    ),
    row("no link of its own", NIC, expect={"0000:a1:00.0": "skip"}),
    row("half of its link told", replace(NIC, gen=4), expect={"0000:a1:00.0": "skip"}),
    row("a NIC at full speed", replace(NIC, gen=5, gen_max=5), expect={"0000:a1:00.0": "pass"}),
    row(
        "exactly half busy is at work",
        replace(GPU, utilisation_percent=50.0, **SLOW),
        expect={"gpu0": "fail"},
    ),
    row("half of its link told by the driver", replace(GPU, pcie_gen=4), expect={"gpu0": "skip"}),
)

QUIET = replace(CARD, aer_corrected=10, aer_nonfatal=0, aer_fatal=0)

PCIE_ERRORS = (
    row("no rise", QUIET, GPU, earlier=(QUIET,), expect={"gpu0": "pass"}),
    row("first reading is not asked", QUIET, GPU, expect={"gpu0": "skip"}),
    row(
        "after a reboot is not asked",
        QUIET,
        GPU,
        earlier=(QUIET,),
        same_boot=False,
        expect={"gpu0": "skip"},
    ),
    row(
        "many corrected",
        replace(QUIET, aer_corrected=10_010),
        GPU,
        earlier=(QUIET,),
        expect={"gpu0": "warn"},
    ),
    row(
        "few corrected",
        replace(QUIET, aer_corrected=1000),
        GPU,
        earlier=(QUIET,),
        expect={"gpu0": "pass"},
    ),
    row("one fatal", replace(QUIET, aer_fatal=1), GPU, earlier=(QUIET,), expect={"gpu0": "fail"}),
    row(
        "fatal after a reset of the counter",
        replace(QUIET, aer_fatal=1),
        GPU,
        earlier=(replace(QUIET, aer_fatal=7),),
        expect={"gpu0": "fail"},
    ),
    row(
        "replays",
        QUIET,
        replace(GPU, pcie_replays=500),
        earlier=(QUIET, replace(GPU, pcie_replays=0)),
        expect={"gpu0": "warn"},
    ),
    row("counts nothing", CARD, GPU, expect={"gpu0": "skip"}),
    row("a card with no counter and no place on the bus", GPU, expect={"gpu0": "skip"}),
    row(
        "80 replays an hour may be",
        QUIET,
        replace(GPU, pcie_replays=80),
        earlier=(QUIET, replace(GPU, pcie_replays=0)),
        expect={"gpu0": "pass"},
    ),
)
TABLES = {
    "accelerator_count": COUNT,
    "pcie_errors": PCIE_ERRORS,
    "pcie_gen": GEN,
    "pcie_width": WIDTH,
}
