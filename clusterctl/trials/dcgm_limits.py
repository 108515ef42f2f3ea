"""What `dcgmi diag` is known to get wrong, as data; read by dcgm_diag.py.

What every pass of it leaves open, and other checks here have to see:
pcie passes a Gen5 card at Gen3: min_pci_generation is 3.0 for 212 of 226 SKUs (DCGM 72fa3fe);
diagnosis passes with NVLinks down (DCGM #198); memory passed where its allocation had failed
(DCGM #284); tests that cannot run are skipped without a word (DCGM #55, #139).
Not excused here, for a text that tells it from a fault is not known: nvbandwidth fails when
something burned just before (DCGM #272): run it first, or once more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flaw:
    """`test`: DCGM's name of it, as `plain` there spells it.  `device_ids`: PCI; empty: any.

    `error_id` and `text` narrow it to one complaint: its number, or words in it.
    """

    test: str
    says: str
    source: str
    device_ids: tuple[str, ...] = ()
    error_id: int | None = None
    text: str = ""


SEVERITY_CONFIG = 5  # DCGM 4's error_severity for how the machine is set up: no fault of a part
# The same where no number is given: DCGM 2 and 3 make a test of each.
CONFIGURATION_TESTS = (
    "persistence_mode",
    "environment_variables",
    "graphics_processes",
    "denylist",
)

# A complaint of theirs is how the machine is set up, or is not true.
FALSE_ALARMS = (
    Flaw(
        "software",
        "persistence mode is off: a setting, and the software test fails on a good GPU",
        "public captures of DCGM 4.2.3 and 4.5.2: error_id 29, severity 5",
        error_id=29,
    ),
    Flaw(
        "",
        "IMEX is not ready: it serves several nodes, and says nothing about this GPU",
        "NVSentinel #1471, NVIDIA/aicr #2641",
        text="imex",
    ),
)
# A pass of theirs says nothing: the limit is so low that no part that works can miss it.
CANNOT_FAIL = (
    Flaw(
        "memory_bandwidth",
        "the target is 2333 MB/s where 3110 GB/s were measured",
        "NVIDIA/DCGM 72fa3fe, diagnostic SKU table, device 2335 (H200)",
        device_ids=("2335",),
    ),
    Flaw(
        "memory_bandwidth",
        "the target is 137500 MB/s where its own comment computes 1372500",
        "NVIDIA/DCGM 72fa3fe, diagnostic SKU table, device 20b0 (A100)",
        device_ids=("20b0",),
    ),
)
