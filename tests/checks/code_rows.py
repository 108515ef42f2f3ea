"""The table of the check about fault codes of a device's maker."""

from __future__ import annotations

from dataclasses import replace

from rows import row
from sample_cards import GPU, silent

from clusterctl.model import Accelerator

NPU = Accelerator("npu0", "huawei", 0, model="910B3", health="ok", error_codes=())
OTHER = replace(NPU, part="npu1")

CODES = (
    row("none", NPU, expect={"npu0": "pass"}),
    row("a device that has no codes", GPU, expect={"gpu0": "skip"}),
    row(
        "a device that does not say, among peers that do",
        replace(GPU, error_codes=None),
        reported=silent("error_codes"),
        expect={"gpu0": "unknown"},
    ),
    row(
        "the 64th isolated row",
        replace(NPU, error_codes=("80E18402",)),
        expect={"npu0": "fail"},
        says="return",
    ),
    row(
        "a chip to be reset",
        replace(NPU, error_codes=("80E18008",)),
        expect={"npu0": "fail"},
        says="reset",
    ),
    row("a job that failed", replace(NPU, error_codes=("80E01801",)), expect={"npu0": "warn"}),
    row(
        "jobs that failed on two chips",
        replace(NPU, error_codes=("80C98002",)),
        replace(OTHER, error_codes=("80C98002",)),
        expect={"npu0": "warn", "npu1": "warn"},
        says="2 devices at once",
    ),
    row("a code in no table", replace(NPU, error_codes=("FFFFFFFF",)), expect={"npu0": "warn"}),
    row(
        "a code of a maker whose codes nobody has",
        replace(NPU, vendor="", error_codes=("17",)),
        expect={"npu0": "warn"},
        says="look this code up",
    ),
)

TABLES = {"fault_codes": CODES}
