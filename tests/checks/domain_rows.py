"""Tables of the checks about fabrics between accelerators, and about daemons that watch them."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row
from sample_cards import gpu

from clusterctl.model import Diagnosis, Domain, Link, Service, Version

DRIVER = Version("driver/nvidia", "550.90.07")
RUNS = Version("fabricmanager", "550.90.07")
ACTIVE = Service("nvidia-fabricmanager", "active", enabled=True)
WAITS = gpu(0, fabric_state="in_progress")

MANAGER = (
    row("of its driver's version", DRIVER, RUNS, ACTIVE, expect={"fabricmanager": "pass"}),
    row(
        "another version than its driver",
        DRIVER,
        replace(RUNS, value="535.161.08"),
        ACTIVE,
        expect={"fabricmanager": "fail"},
        says="535.161.08",
    ),
    row(
        "a log of another version, of a service that is down",
        DRIVER,
        replace(RUNS, value="535.161.08"),
        Version("fabricmanager/installed", "550.90.07"),
        replace(ACTIVE, state="inactive"),
        expect={"fabricmanager": "pass"},
    ),
    row(
        "another one is installed, and it is down",
        DRIVER,
        Version("fabricmanager/installed", "535.161.08"),
        replace(ACTIVE, state="inactive"),
        expect={"fabricmanager": "warn"},
    ),
    row("nobody knows the driver", RUNS, expect={"fabricmanager": "unknown"}),
    row("no NVSwitch, no fabric manager", DRIVER, gpu(), expect={"fabricmanager": "skip"}),
    row(
        "a GPU waits and the service is dead",
        DRIVER,
        replace(ACTIVE, state="failed"),
        WAITS,
        expect={"fabricmanager": "fail"},
        says="gpu0",
    ),
    row(
        "a dead service that nobody waits for is no fault here",
        DRIVER,
        replace(ACTIVE, state="failed"),
        gpu(0, fabric_state="completed"),
        expect={"fabricmanager": "skip"},
    ),
    row(
        "a service that runs in a version that nobody told passes nothing",
        DRIVER,
        ACTIVE,
        gpu(0, fabric_state="completed"),
        expect={"fabricmanager": "skip"},
        says="nobody told its version",
    ),
    row(
        "a GPU waits on a rack whose switches run the manager",
        DRIVER,
        WAITS,
        expect={"fabricmanager": "skip"},
    ),
)

RACK = "5a5a2b00-9e8b-4c0f-8d1e-000000000501"
OTHER = "5a5a2b00-9e8b-4c0f-8d1e-000000000502"
TRAY = tuple(gpu(index, fabric_cluster=RACK, fabric_clique=1) for index in range(4))
UP = Domain("imex", "up", {"10.1.0.1": "ready", "10.1.0.2": "ready"}, 2)
ALONE = gpu(0, fabric_state="completed")
PART = "fabric domain"

DOMAINS = (
    row("a tray of a rack, all well", *TRAY, UP, expect={PART: "pass"}),
    row("a node of its own", ALONE, expect={PART: "skip"}),
    row(
        "cards of one tray in two domains",
        *TRAY[:3],
        replace(TRAY[3], fabric_cluster=OTHER),
        expect={PART: "fail"},
        says=OTHER,
    ),
    row(
        "cards of one tray in two cliques",
        *TRAY[:3],
        replace(TRAY[3], fabric_clique=2),
        expect={PART: "fail"},
        says="clique 2",
    ),
    row(
        "a card of a tray in no domain",
        *TRAY[:3],
        gpu(3),
        expect={PART: "fail"},
        says="in none: gpu3",
    ),
    row(
        "a neighbour is not ready",
        *TRAY,
        replace(UP, state="degraded", members={"10.1.0.1": "ready", "10.1.0.2": "unavailable"}),
        expect={PART: "warn"},
        says="10.1.0.2 unavailable",
    ),
    row(
        "up, with one that recovers",
        *TRAY,
        replace(UP, members={"10.1.0.1": "ready", "10.1.0.2": "recovering"}),
        expect={PART: "warn"},
    ),
    row(
        "daemons of two versions",
        *TRAY,
        replace(UP, versions=("570.172", "570.86")),
        expect={PART: "warn"},
        says="570.86",
    ),
    row("its own daemon is down", *TRAY, Domain("imex", "down", {}, 18), expect={PART: "fail"}),
    row(
        "a daemon that nobody needs complains for nothing",
        ALONE,
        Domain("imex", "down", {"127.0.0.1": "unavailable"}, 1),
        expect={PART: "skip"},
    ),
    Row(
        "one of a rack that is in another domain",
        {
            **{f"n{n}": TRAY for n in range(1, 4)},
            "n4": tuple(replace(card, fabric_cluster=OTHER) for card in TRAY),
        },
        {"n4 fabric domain": "warn"},
        labels={"rack": "r1"},
    ),
    Row(
        "one of a rack that is in none",
        {**{f"n{n}": TRAY for n in range(1, 4)}, "n4": (gpu(0), gpu(1))},
        {"n4 fabric domain": "unknown"},
        labels={"domain": "nvl-1"},
    ),
)

WELL = Diagnosis("node", "dcgm", "healthy")
ILL = Diagnosis("node", "dcgm", "failure")
MEMORY = Diagnosis("gpu0", "dcgm", "failure", "memory system", "a DBE was detected on GPU 0")
DOWN = Diagnosis(
    "gpu0", "dcgm", "failure", "nvlink system", "GPU 0's NvLink link 0 is currently down"
)
IMEX = Diagnosis("gpu0", "dcgm", "failure", "nvlink system", "IMEX daemon status is -3")

DIAGNOSES = (
    row("healthy", WELL, expect={"node": "pass"}),
    row("a failure", ILL, MEMORY, expect={"gpu0": "fail", "node": "skip"}, says="DBE"),
    row("a warning", replace(MEMORY, state="warning"), expect={"gpu0": "warn"}),
    row("a failure of which no more is said", ILL, expect={"node": "fail"}),
    row("it could not tell", replace(WELL, state="internal_error"), expect={"node": "unknown"}),
    row("nobody had it watch", replace(WELL, state="unwatched"), expect={"node": "skip"}),
    row(
        "links down on a card that has none in use",
        DOWN,
        gpu(0),
        Link("gpu0/links", "gpu0", "nvlink", "inactive"),
        expect={"gpu0": "skip"},
        says="PR 1481",
    ),
    row("a link down of a card whose links nobody told", DOWN, gpu(0), expect={"gpu0": "fail"}),
    row(
        "errors of links are no false alarm",
        replace(DOWN, text="Detected 7 nvlink CRC errors on GPU 0"),
        gpu(0),
        Link("gpu0/links", "gpu0", "nvlink", "inactive"),
        expect={"gpu0": "fail"},
    ),
    row(
        "a link down beside others that are up",
        DOWN,
        gpu(0),
        Link("gpu0/link0", "gpu0", "nvlink", "down"),
        Link("gpu0/link1", "gpu0", "nvlink", "up"),
        expect={"gpu0": "fail"},
    ),
    row("IMEX where nobody saw the accelerators", IMEX, expect={"gpu0": "fail"}),
    row(
        "IMEX on a node of its own",
        IMEX,
        gpu(0),
        Link("gpu0/link1", "gpu0", "nvlink", "up"),
        expect={"gpu0": "skip"},
        says="1471",
    ),
    row("IMEX on a node of a rack where nobody uses it", IMEX, *TRAY, expect={"gpu0": "skip"}),
    row(
        "IMEX on a node of a rack",
        IMEX,
        *TRAY,
        UP,
        Link("gpu0/link1", "gpu0", "nvlink", "up"),
        expect={"gpu0": "fail"},
    ),
)

TABLES = {"fabric_manager": MANAGER, "fabric_domain": DOMAINS, "diagnoses": DIAGNOSES}
