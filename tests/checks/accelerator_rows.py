"""Tables of the checks about accelerators and PCIe."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row

from clusterctl.model import Accelerator, Boot, KernelEvent, Link, LogWindow, PcieDevice

M = "H100"
GPU = Accelerator("gpu0", vendor="nvidia", model=M, uuid="u0", pci="0000:1b:00.0")
CARD = PcieDevice("0000:1b:00.0", "accelerator", "10de", "2330", "030200", "nvidia", "nvidia")


def gpu(index=0, **fields):
    pci = f"0000:{index + 16:02x}:00.0"
    return replace(GPU, part=f"gpu{index}", index=index, uuid=f"u{index}", pci=pci, **fields)


def card(index=0, **fields):
    return replace(CARD, part=f"0000:{index + 16:02x}:00.0", **fields)


def silent(field):
    """Peers of this model report the field."""
    return frozenset({("Accelerator", M, field)})


EIGHT = tuple(gpu(i) for i in range(8))
EIGHT_CARDS = tuple(card(i) for i in range(8))
NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")

COUNT = (
    row("eight of eight", *EIGHT, *EIGHT_CARDS, expect={"accelerators": "pass"}),
    row("none on a CPU node is not asked", expect={"accelerators": "skip"}),
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
)
HEALTH = (
    row("ok", replace(GPU, health="ok", recovery_action="none"), expect={"gpu0": "pass"}),
    row("an alarm", replace(GPU, health="alarm"), expect={"gpu0": "fail"}),
    row("a warning", replace(GPU, health="warning"), expect={"gpu0": "warn"}),
    row(
        "wants a reset",
        replace(GPU, health="ok", recovery_action="gpu_reset"),
        expect={"gpu0": "fail"},
        says="reset-device",
    ),
    row(
        "wants a reboot",
        replace(GPU, recovery_action="node_reboot"),
        expect={"gpu0": "fail"},
        says="reboot-node",
    ),
    row(
        "an action we do not know",
        replace(GPU, recovery_action="exorcise"),
        expect={"gpu0": "fail"},
    ),
    row(
        "fabric joined",
        replace(GPU, fabric_state="completed", fabric_status="success"),
        expect={"gpu0": "pass"},
    ),
    row("fabric joining", replace(GPU, fabric_state="in_progress"), expect={"gpu0": "warn"}),
    row("fabric not joined", replace(GPU, fabric_state="not_started"), expect={"gpu0": "fail"}),
    row(
        "fabric failed",
        replace(GPU, fabric_state="completed", fabric_status="unhealthy"),
        expect={"gpu0": "fail"},
    ),
    row("says nothing", GPU, expect={"gpu0": "skip"}),
    row("says nothing where peers do", GPU, reported=silent("health"), expect={"gpu0": "unknown"}),
)
CLEAN = replace(
    GPU,
    ecc_on=True,
    ecc_uncorrected_volatile=0,
    ecc_corrected_volatile=3,
    ecc_uncorrected_aggregate=2,
)
ECC = (
    row("clean", CLEAN, expect={"gpu0": "pass"}),
    row("one uncorrected", replace(CLEAN, ecc_uncorrected_volatile=1), expect={"gpu0": "fail"}),
    row(
        "very many corrected",
        replace(CLEAN, ecc_corrected_volatile=20_000_001),
        expect={"gpu0": "warn"},
    ),
    row(
        "life-time count grew",
        CLEAN,
        earlier=(replace(CLEAN, ecc_uncorrected_aggregate=1),),
        expect={"gpu0": "fail"},
    ),
    row(
        "life-time count grew over a reboot",
        CLEAN,
        same_boot=False,
        earlier=(replace(CLEAN, ecc_uncorrected_aggregate=1),),
        expect={"gpu0": "fail"},
    ),
    row(
        "another card in this place is not growth",
        CLEAN,
        earlier=(replace(CLEAN, uuid="old", ecc_uncorrected_aggregate=0),),
        expect={"gpu0": "pass"},
    ),
    row("switched off", replace(GPU, ecc_on=False), expect={"gpu0": "warn"}),
    row("no ECC in this model", GPU, expect={"gpu0": "skip"}),
    row(
        "a silent counter among talking peers",
        replace(CLEAN, ecc_uncorrected_volatile=None),
        reported=silent("ecc_uncorrected_volatile"),
        expect={"gpu0": "unknown"},
    ),
    row(
        "as many corrected as may be",
        replace(CLEAN, ecc_corrected_volatile=20_000_000),
        expect={"gpu0": "pass"},
    ),
    row("life-time count as before", CLEAN, earlier=(CLEAN,), expect={"gpu0": "pass"}),
    row(
        "life-time count as before a reboot",
        CLEAN,
        earlier=(CLEAN,),
        same_boot=False,
        expect={"gpu0": "pass"},
    ),
    row(
        "life-time count alone, read first",
        replace(GPU, ecc_uncorrected_aggregate=2),
        expect={"gpu0": "skip"},
    ),
    row(
        "life-time count alone, read again",
        replace(GPU, ecc_uncorrected_aggregate=2),
        earlier=(CLEAN,),
        expect={"gpu0": "pass"},
    ),
)
REMAP = (
    row(
        "nothing to repair",
        replace(GPU, remap_pending=False, remap_failed=False, remapped_uncorrected=0),
        expect={"gpu0": "pass"},
    ),
    row(
        "pending",
        replace(GPU, remap_pending=True, remap_failed=False),
        expect={"gpu0": "fail"},
        says="reset-device",
    ),
    row("failed", replace(GPU, remap_failed=True), expect={"gpu0": "fail"}, says="return"),
    row("ten rows may be", replace(GPU, remapped_uncorrected=10), expect={"gpu0": "pass"}),
    row("eleven rows are too many", replace(GPU, remapped_uncorrected=11), expect={"gpu0": "fail"}),
    row(
        "retired pages pending",
        replace(GPU, retired_pending=True, retired_pages=2),
        expect={"gpu0": "fail"},
    ),
    row("many retired pages", replace(GPU, retired_pages=11), expect={"gpu0": "warn"}),
    row("not a thing of this model", GPU, expect={"gpu0": "skip"}),
    row("silent among peers", GPU, reported=silent("remap_failed"), expect={"gpu0": "unknown"}),
    row("ten retired pages may be", replace(GPU, retired_pages=10), expect={"gpu0": "pass"}),
)
HOT = {"temp_slowdown_c": 87.0, "utilisation_percent": 99.0}
TEMPERATURE = (
    row("cool", replace(GPU, temp_c=60.0, temp_memory_c=70.0, **HOT), expect={"gpu0": "pass"}),
    row("at its slowdown", replace(GPU, temp_c=87.0, **HOT), expect={"gpu0": "fail"}),
    row("close to it", replace(GPU, temp_c=85.0, **HOT), expect={"gpu0": "warn"}),
    row(
        "hot memory under a cool core",
        replace(GPU, temp_c=60.0, temp_memory_c=95.0),
        expect={"gpu0": "fail"},
    ),
    row(
        "the card's own memory limit counts",
        replace(GPU, temp_c=60.0, temp_memory_c=96.0, temp_memory_max_c=105.0),
        expect={"gpu0": "pass"},
    ),
    row("no sensor", GPU, expect={"gpu0": "skip"}),
    row("a dead sensor", GPU, reported=silent("temp_c"), expect={"gpu0": "unknown"}),
    row(
        "one hotter than loaded peers",
        *(gpu(i, temp_c=60.0 + (18 if i == 3 else i % 2), **HOT) for i in range(8)),
        expect={"gpu3": "warn"},
        says="peers",
    ),
    row(
        "idle cards are not compared",
        *(gpu(i, temp_c=30.0 + (18 if i == 3 else i % 2)) for i in range(8)),
        expect={},
    ),
    row("84 °C may be", replace(GPU, temp_c=84.0, temp_slowdown_c=90.0), expect={"gpu0": "pass"}),
    row(
        "a slowdown of 0 °C is no limit",
        replace(GPU, temp_c=60.0, temp_slowdown_c=0.0, temp_memory_c=60.0, temp_memory_max_c=0.0),
        expect={"gpu0": "pass"},
    ),
    row(
        "a dead core sensor among loaded peers",
        *(gpu(i, temp_c=None if i == 3 else 60.0, **HOT) for i in range(8)),
        reported=silent("temp_c"),
        expect={"gpu3": "unknown"},
    ),
    row(
        "idle, hot and busy peers",
        *(
            gpu(
                i,
                temp_c=60.0 if i else 70.0,
                temp_slowdown_c=87.0,
                utilisation_percent=99.0 if i else 0.0,
            )
            for i in range(8)
        ),
        expect={"gpu0": "pass"},
    ),
)
THROTTLE = (
    row(
        "idle and capped are fine",
        replace(GPU, throttle=("idle", "sw_power_cap")),
        expect={"gpu0": "pass"},
    ),
    row("not held back", replace(GPU, throttle=()), expect={"gpu0": "pass"}),
    row(
        "too hot",
        replace(GPU, throttle=("hw_slowdown", "hw_thermal")),
        expect={"gpu0": "fail"},
        says="hw_thermal",
    ),
    row("power brake", replace(GPU, throttle=("hw_power_brake",)), expect={"gpu0": "fail"}),
    row(
        "hardware slowdown alone", replace(GPU, throttle=("hw_slowdown",)), expect={"gpu0": "fail"}
    ),
    row("the driver cools", replace(GPU, throttle=("sw_thermal",)), expect={"gpu0": "warn"}),
    row("a reason of tomorrow", replace(GPU, throttle=("moon_phase",)), expect={"gpu0": "warn"}),
    row(
        "slowed down between the readings",
        replace(GPU, throttle=(), throttle_thermal_us=9_000_000),
        earlier=(replace(GPU, throttle_thermal_us=1_000_000),),
        expect={"gpu0": "warn"},
    ),
    row(
        "counter reset with the driver",
        replace(GPU, throttle=(), throttle_thermal_us=0),
        earlier=(replace(GPU, throttle_thermal_us=1_000_000),),
        expect={"gpu0": "pass"},
    ),
    row("not reported", GPU, expect={"gpu0": "skip"}),
    row("silent among peers", GPU, reported=silent("throttle"), expect={"gpu0": "unknown"}),
    row(
        "only the counter, read first", replace(GPU, throttle_thermal_us=5), expect={"gpu0": "skip"}
    ),
)
NIC = PcieDevice("0000:a1:00.0", "nic", "15b3", "1021", "020700", "", "mlx5_core")
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


def links(card, states, **counters):
    return tuple(
        Link(f"gpu{card}/link{n}", f"gpu{card}", "nvlink", state, counters=counters)
        for n, state in enumerate(states)
    )


UP = ("up",) * 4
LINKS = (
    row("all up on all", *(x for i in range(8) for x in (gpu(i), *links(i, UP))), expect={}),
    row(
        "one down among peers",
        *(
            x
            for i in range(8)
            for x in (gpu(i), *links(i, ("up", "down", "up", "up") if i == 2 else UP))
        ),
        expect={"gpu2": "fail"},
        says="gpu2/link1",
    ),
    row(
        "inactive on all is how this box is",
        *(x for i in range(4) for x in (gpu(i), *links(i, ("inactive",) * 4))),
        expect={f"gpu{i}": "skip" for i in range(4)},
    ),
    row(
        "inactive on all where the SKU has them",
        gpu(),
        *links(0, ("inactive",) * 4),
        limits={"links_up": 4},
        expect={"gpu0": "fail"},
    ),
    row(
        "none reported where the SKU has them",
        gpu(),
        limits={"links_up": 4},
        expect={"gpu0": "unknown"},
    ),
    row(
        "none reported where peers do",
        *(x for i in range(8) for x in (gpu(i), *(() if i == 5 else links(i, UP)))),
        expect={"gpu5": "unknown"},
    ),
    row(
        "a lone card without a bridge", gpu(), *links(0, ("inactive",) * 4), expect={"gpu0": "skip"}
    ),
    row(
        "a lone card whose link is down", gpu(), *links(0, ("up", "down")), expect={"gpu0": "warn"}
    ),
    row(
        "recovered since the last reading",
        gpu(),
        *links(0, ("up",), recovery_errors=1),
        earlier=links(0, ("up",), recovery_errors=0),
        expect={"gpu0": "fail"},
    ),
    row(
        "replayed since the last reading",
        gpu(),
        *links(0, ("up",), replay_errors=1),
        earlier=links(0, ("up",), replay_errors=0),
        expect={"gpu0": "warn"},
    ),
    row(
        "old errors that do not grow",
        gpu(),
        *links(0, ("up",), crc_errors=999, tx_bytes=5),
        earlier=links(0, ("up",), crc_errors=999, tx_bytes=1),
        expect={"gpu0": "pass"},
    ),
    row(
        "a hundred CRC errors an hour may be",
        gpu(),
        *links(0, ("up",), crc_errors=100),
        earlier=links(0, ("up",), crc_errors=0),
        expect={"gpu0": "pass"},
    ),
    row(
        "many in many hours are few",
        gpu(),
        *links(0, ("up",), crc_errors=101),
        seconds=86400.0,
        earlier=links(0, ("up",), crc_errors=0),
        expect={"gpu0": "pass"},
    ),
    row(
        "101 within the hour",
        gpu(),
        *links(0, ("up",), crc_errors=101),
        earlier=links(0, ("up",), crc_errors=0),
        expect={"gpu0": "fail"},
    ),
    row(
        "many in a time nobody knows",
        gpu(),
        *links(0, ("up",), crc_errors=101),
        seconds=None,
        earlier=links(0, ("up",), crc_errors=0),
        expect={"gpu0": "fail"},
    ),
    row(
        "counters of links not in use prove nothing",
        gpu(),
        *links(0, ("inactive",), crc_errors=0),
        earlier=links(0, ("inactive",), crc_errors=0),
        expect={"gpu0": "skip"},
    ),
)
LOG = LogWindow("kmsg", 7200.0, 500)


def xid(code, pci="0000:1b:00", seconds_ago=60.0, kind="xid", text=""):
    return KernelEvent(pci, kind, str(code), text or f"NVRM: Xid {code}", seconds_ago=seconds_ago)


XID = (
    row("a quiet log", GPU, LOG, expect={"kernel log": "pass"}),
    row("no accelerator, not asked", LOG, expect={"kernel log": "skip"}),
    row("no log read", GPU, expect={"kernel log": "unknown"}),
    row(
        "an empty log proves nothing",
        GPU,
        LogWindow("kmsg", None, 0),
        expect={"kernel log": "unknown"},
    ),
    row("79 means reboot", GPU, LOG, xid(79), expect={"gpu0": "fail"}, says="reboot-node"),
    row("13 means restart the job", GPU, LOG, xid(13), expect={"gpu0": "warn"}, says="restart-job"),
    row("31 is the application", GPU, LOG, xid(31), expect={"gpu0": "warn"}, says="restart-job"),
    row("48 means reset", GPU, LOG, xid(48), expect={"gpu0": "fail"}, says="reset-device"),
    row("63 is only recorded", GPU, LOG, xid(63), expect={"gpu0": "warn"}, says="observe"),
    row("64 means reset", GPU, LOG, xid(64), expect={"gpu0": "fail"}, says="reset-device"),
    row("74 is not fatal by itself", GPU, LOG, xid(74), expect={"gpu0": "warn"}),
    row("92 is counted", GPU, LOG, xid(92), expect={"gpu0": "warn"}, says="observe"),
    row("94 never reboots", GPU, LOG, xid(94), expect={"gpu0": "warn"}, says="restart-job"),
    row("95 means reset", GPU, LOG, xid(95), expect={"gpu0": "fail"}, says="reset-device"),
    row("119 means reset", GPU, LOG, xid(119), expect={"gpu0": "fail"}, says="reset-device"),
    row("54 is for hands on site", GPU, LOG, xid(54), expect={"gpu0": "fail"}, says="isolate"),
    row("145 is a link's", GPU, LOG, xid(145), expect={"gpu0": "warn"}),
    row(
        "a number of tomorrow", GPU, LOG, xid(999), expect={"gpu0": "warn"}, says="not in our table"
    ),
    row("a number that is none", GPU, LOG, xid("7x"), expect={"gpu0": "warn"}),
    row(
        "two kinds are two findings",
        GPU,
        LOG,
        xid(79),
        xid(13),
        expect={"gpu0": "fail"},
        says="restart-job",
    ),
    row(
        "many devices at once are the application",
        gpu(),
        gpu(1),
        LOG,
        xid(13, "0000:10:00"),
        xid(13, "0000:11:00"),
        expect={"gpu0": "warn", "gpu1": "warn"},
        says="2 devices at once",
    ),
    row(
        "an old application error is no news",
        GPU,
        LOG,
        xid(13, seconds_ago=90_000),
        expect={"kernel log": "pass"},
    ),
    row(
        "an old 79 of this boot still holds",
        GPU,
        LOG,
        xid(79, seconds_ago=90_000),
        Boot("b", 100_000.0),
        expect={"gpu0": "fail"},
    ),
    row(
        "79 before the last boot",
        GPU,
        LOG,
        xid(79, seconds_ago=90_000),
        Boot("b", 600.0),
        expect={"gpu0": "warn"},
    ),
    row("a card that no tool shows keeps its address", LOG, xid(79), expect={"0000:1b:00": "fail"}),
    row(
        "a harmless SXid",
        GPU,
        LOG,
        xid(12023, kind="sxid", text="SXid 12023, Non-fatal"),
        expect={"kernel log": "pass"},
    ),
    row(
        "a fatal SXid",
        GPU,
        LOG,
        xid(24007, "0000:c3:00.0", kind="sxid", text="24007, Fatal, x"),
        expect={"0000:c3:00.0": "fail"},
    ),
    row(
        "a non-fatal SXid",
        GPU,
        LOG,
        xid(20034, "0000:c3:00.0", kind="sxid", text="20034, Non-fatal, x"),
        expect={"0000:c3:00.0": "warn"},
    ),
    row("a card on the bus alone is reason to look", CARD, LOG, expect={"kernel log": "pass"}),
    row(
        "another device on the bus is none",
        replace(CARD, kind="nic"),
        LOG,
        expect={"kernel log": "skip"},
    ),
)
TABLES = {
    "accelerator_count": COUNT,
    "accelerator_health": HEALTH,
    "accelerator_links": LINKS,
    "ecc": ECC,
    "pcie_errors": PCIE_ERRORS,
    "pcie_gen": GEN,
    "pcie_width": WIDTH,
    "row_remap": REMAP,
    "temperature": TEMPERATURE,
    "throttle": THROTTLE,
    "xid": XID,
}
