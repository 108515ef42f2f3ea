"""The table of the check about links between accelerators."""

from __future__ import annotations

from rows import row
from sample_cards import gpu

from clusterctl.model import Link


def links(card, states, **counters):
    return tuple(
        Link(f"gpu{card}/link{n}", f"gpu{card}", "nvlink", state, counters=counters)
        for n, state in enumerate(states)
    )


UP = ("up",) * 4

LINKS = (
    row("all up on all", *(x for i in range(8) for x in (gpu(i), *links(i, UP))), expect={}),
    row(
        "a card in MIG mode tells no links and is no fault",
        *(x for i in range(7) for x in (gpu(i), *links(i, UP))),
        gpu(7, mig=True),
        expect={},
    ),
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
    row(
        "as many as the SKU has",
        gpu(),
        *links(0, UP),
        limits={"links_up": 4},
        expect={"gpu0": "pass"},
    ),
    row(
        "up where peers use none",
        *(x for i in range(4) for x in (gpu(i), *links(i, UP if i == 1 else ("inactive",) * 4))),
        expect={"gpu0": "skip", "gpu1": "pass"},
    ),
)
TABLES = {
    "accelerator_links": LINKS,
}
