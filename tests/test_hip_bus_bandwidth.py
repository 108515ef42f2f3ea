"""hipBusBandwidth's table, as a real MI100 printed it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl.model import Copy, Kind, Trouble
from clusterctl.trials.hip_bus_bandwidth import parse

CAPTURE = (
    Path(__file__).parent.parent.parent
    / "shared/captures/rocm-bw/superbench_rocm_memory_h2d_bw.txt"
)
HEAD = "Device:Device 738c Mem=32.0GB #CUs=120 Freq=1502Mhz  MallocMode=pinned\n"
GOOD = "   H2D_Bandwidth_pinned      1024kB  GB/sec  16.3342 16.3315 0.0956  16.0147 16.5823\n"


def test_a_real_table_says_what_a_reader_finds():
    if not CAPTURE.exists():
        pytest.skip(
            "rocm-bw/superbench_rocm_memory_h2d_bw.txt is not among this checkout's captures"
        )
    found = list(parse(CAPTURE.read_text()))
    assert all(isinstance(item, Copy) for item in found)
    assert {item.part for item in found} == {"host>gpu0"}
    assert len(found) == 20  # 1 kB to 512 MB
    assert (found[0].size_bytes, found[0].gbyte_s) == (1 << 10, 0.0414)
    assert (found[-1].size_bytes, found[-1].gbyte_s) == (512 << 20, 24.7523)
    assert max(item.gbyte_s for item in found) == 25.3280
    assert found[-1].way == "pinned memory"


@pytest.mark.parametrize(
    "row",
    [
        GOOD.replace("GB/sec", "MB/sec"),
        GOOD.replace("16.3342", "nan"),
        GOOD.replace("16.3342", "0.0000"),
        GOOD.replace("16.3342", "*"),
        GOOD.replace("16.5823", ""),
        GOOD.replace("1024kB", "lots"),
        GOOD.replace("H2D", "X2Y"),
    ],
)
def test_a_row_that_is_none_of_its_rows_is_a_trouble_and_no_rate(row):
    found = list(parse(HEAD + GOOD + row))
    assert [type(item) for item in found] == [Copy, Trouble]
    assert found[1].kind is Kind.UNREADABLE


@pytest.mark.parametrize("text", ["", "hipErrorNoDevice\n", HEAD, "\0\0", GOOD])
def test_what_measured_nothing_says_so(text):
    assert isinstance(list(parse(text))[-1], Trouble)


def test_no_cut_raises_or_tells_another_rate():
    text = HEAD + GOOD * 3
    for place in range(len(text)):
        for item in parse(text[:place]):
            assert isinstance(item, Trouble) or item.gbyte_s == 16.3342
