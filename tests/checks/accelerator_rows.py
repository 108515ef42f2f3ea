"""Tables of the checks about what is on an accelerator."""

from __future__ import annotations

from dataclasses import replace

from rows import row
from sample_cards import GPU, gpu, silent

from clusterctl.model import Partition

CLEAN = replace(
    GPU,
    ecc_on=True,
    ecc_uncorrected_volatile=0,
    ecc_corrected_volatile=3,
    ecc_uncorrected_aggregate=2,
)

ECC = (
    row("clean", CLEAN, expect={"gpu0": "pass"}),
    row(
        "an error that only one instance counts",
        replace(CLEAN, mig=True, ecc_uncorrected_volatile=None),
        Partition("gpu0/mig0", "gpu0", ecc_uncorrected_volatile=0),
        Partition("gpu0/mig1", "gpu0", ecc_uncorrected_volatile=1),
        expect={"gpu0/mig1": "fail"},
    ),
    row(
        "in MIG mode a GPU is not compared with whole ones",
        replace(CLEAN, mig=True, ecc_uncorrected_volatile=None),
        expect={"gpu0": "pass"},
        reported=silent("ecc_uncorrected_volatile"),
    ),
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
TABLES = {
    "accelerator_health": HEALTH,
    "ecc": ECC,
    "row_remap": REMAP,
    "temperature": TEMPERATURE,
    "throttle": THROTTLE,
}
