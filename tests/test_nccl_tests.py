"""The tables of nccl-tests, rccl-tests and hccl_test: look-alikes of ours, and real captures."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from clusterctl.model import Collective, Kind, Observation, Trouble
from clusterctl.report.collectives import collective_tables
from clusterctl.trials.collective_rows import OPERATIONS, parse
from clusterctl.trials.nccl_tests import Ran, factor, tables

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"
HEAD = """\
# nThread 1 nGpus 2 minBytes 1048576 maxBytes 4194304 step: 2(factor) warmup iters: 5 iters: 20
# Using devices
#  Rank  0 Group  0 Pid   4711 on n001 device  0 [0x0f] NVIDIA Something
#  Rank  1 Group  0 Pid   4711 on n001 device  1 [0x2d] NVIDIA Something
NCCL version 2.23.4+cuda12.6
n001:4711:4720 [0] NCCL INFO Connected all rings
n001:4711:4720 [0] NCCL INFO Connected NVLS tree
#
#                                                              out-of-place                in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   \
algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  \
(GB/s)  (GB/s)
"""
ROWS = """\
     1048576        262144     float     sum      -1    100.0   10.49   10.49      0    110.0    \
9.53    9.53      0
     4194304       1048576     float     sum      -1    200.0   20.97   20.97      0    210.0   \
19.97   19.97      0
"""
TAIL = "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 15.24 \n#\n"
WHOLE = HEAD + ROWS + TAIL
HCCL = """\
the minbytes is 8192, maxbytes is 16384, iters is 20, warmup_iters is 5
data_size(Bytes): |   avg_time(us): | alg_bandwidth(GB/s): | check_result:
8192              |     764.55    |       0.01071        | success
16384             |     858.80    |       0.01907        | NULL
"""


def ran(engine: str = "nccl-tests", operation: str = "all_reduce", **rest: object) -> Ran:
    return Ran(engine, "n001", operation, ("n001",), 8, **rest)


def read(text: str, **rest: object) -> tuple[list[Collective], list[Trouble]]:
    found = list(tables(ran(**rest), text.split("\n")))
    facts = [one for one in found if isinstance(one, Collective)]
    return facts, [one for one in found if isinstance(one, Trouble)]


def test_a_table_is_read_whole():
    facts, troubles = read(WHOLE)
    assert troubles == []
    assert [(one.size_bytes, one.in_place, one.busbw_gbyte_s) for one in facts] == [
        (1048576, False, 10.49), (1048576, True, 9.53),
        (4194304, False, 20.97), (4194304, True, 19.97),
    ]  # fmt: skip
    assert {(one.ranks, one.wrong, one.version, one.offload) for one in facts} == {
        (2, 0, "NCCL 2.23.4", "NVLS")
    }
    assert facts[0].time_us == 100.0


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        (TAIL, "", Kind.CUT, "Out of bounds"),
        (": 0 OK", ": 5 FAILED", Kind.EXIT, "5 values out of bounds"),
        ("15.24", "22.50", Kind.CUT, "rows are lost"),
        ("(us)", "(ms)", Kind.UNREADABLE, "units"),
        ("20.97   20.97", "20.97 nan", Kind.UNREADABLE, "nan"),
        ("     -1    200.0", "    200.0", Kind.UNREADABLE, "12 cells under 13"),
        (ROWS, "", Kind.UNREADABLE, "no table"),
        ("# Avg", "n001: Test NCCL failure common.cu:1127\n# Avg", Kind.EXIT, "Test NCCL failure"),
    ],
)
def test_a_table_with_something_wrong_says_so(old, new, kind, words):
    assert old in WHOLE
    _, troubles = read(WHOLE.replace(old, new))
    assert [one for one in troubles if one.kind is kind and words in one.detail], troubles


def test_wrong_results_are_counted_where_they_stand():
    facts, _ = read(WHOLE.replace("20.97      0", "20.97      7"))
    assert [one.wrong for one in facts] == [0, 0, 7, 0]


def test_results_that_nobody_compared_are_not_right():
    facts, troubles = read(WHOLE.replace("20.97      0", "20.97    N/A"))
    assert (facts[2].wrong, facts[2].unchecked) == (None, "its check was off (-c 0)")
    assert troubles == []
    without = WHOLE.replace("#wrong", " error").replace("20.97      0", "20.97  2e-07")
    assert read(without)[0][2].wrong is None
    assert read(without)[0][0].wrong == 0


def test_launchers_prefixes_are_taken_off():
    for prefix in ("[1,0]<stdout>:", "0: "):
        facts, troubles = read("".join(f"{prefix}{line}\n" for line in WHOLE.splitlines()))
        assert (len(facts), troubles) == (4, [])


def test_how_it_ended_is_said():
    for code, kind in (("1", Kind.EXIT), ("none", Kind.TIMEOUT)):
        _, troubles = read(HEAD, code=code)
        assert [one.kind for one in troubles] == [kind]


def test_hccl_tells_no_busbw_and_sometimes_no_result():
    facts, troubles = read(HCCL, engine="hccl_test")
    assert troubles == []
    assert [one.wrong for one in facts] == [0, None]
    assert "NULL" in facts[1].unchecked
    assert facts[0].busbw_gbyte_s == pytest.approx(0.01071 * 7 / 4)
    wrong = read(HCCL.replace("success", "failed"), engine="hccl_test")[0]
    assert wrong[0].wrong == 1
    _, troubles = read("hccl interface return err x.cc:538, retcode: 7 \n", engine="hccl_test")
    assert "earlier run" in troubles[0].detail


def test_factors_are_those_of_nccl_tests():
    assert [factor(name, 4) for name in OPERATIONS] == [1.5, 0.75, 0.75, 0.75, 1, 1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE) - 1), st.characters())
def test_no_cut_and_no_flip_raises_or_invents(end, at, char):
    broken = (WHOLE[:at] + char + WHOLE[at + 1 :])[:end]
    for engine in ("nccl-tests", "hccl_test"):
        facts, troubles = read(broken, engine=engine)
        assert troubles or len(facts) == 4


def answer(text: str) -> str:
    """What our script prints of a tool's output."""
    lines = [line for line in text.split("\n") if line.strip()]
    head = "tool\tnccl-tests\t0\t3.1\tn001\tall_reduce\tn001\t8\tauto\n"
    body = "".join(f"line\t{line}\n" for line in lines)
    return f"{head}{body}end\t{len(lines) + 1}\n"


def test_a_tools_lines_come_through_our_own_rows():
    assert [fact.busbw_gbyte_s for fact in parse(answer(WHOLE))] == [10.49, 9.53, 20.97, 19.97]


OURS = (
    "collective\talgorithm=auto\tengine=built-in TCP ring\tnodes=n1 n2\toffload=\t"
    "operation=all_reduce\tpart=n[1-2]\tranks=2\tsize_bytes=1000000\ttimes_s=0.5 1.5\t"
    "version=\twrong=0\nend\t1\n"
)


def test_rates_come_from_times():
    (fact,) = parse(OURS)
    assert fact.algbw_gbyte_s == pytest.approx(0.001)
    assert fact.busbw_gbyte_s == pytest.approx(0.001)
    assert fact.samples_gbyte_s == pytest.approx((0.002, 0.001 * 2 / 3))
    assert fact.time_us == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("times_s=0.5 1.5", "times_s="),
        ("times_s=0.5", "times_s=0"),
        ("ranks=2", "ranks=1"),
        ("ranks=2", "ranks=N/A"),
        ("all_reduce", "all_guess"),
        ("nodes=n1 n2", "nodes="),
        ("\twrong=0", ""),
    ],
)
def test_a_row_that_cannot_be_is_a_trouble(old, new):
    (trouble,) = parse(OURS.replace(old, new))
    assert trouble.kind is Kind.UNREADABLE


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 4000), st.text(max_size=30))
def test_no_answer_of_a_node_raises(end, more):
    for text in (answer(WHOLE), OURS):
        found = list(parse(text[:end] + more))
        assert found or not text[:end] + more


NCCL_FILES = sorted(CAPTURES.glob("nccl-tests/all_*perf__*.txt"))


@pytest.mark.skipif(not NCCL_FILES, reason="no captures of nccl-tests beside this checkout")
def test_captures_are_read_to_their_last_row():
    best = {}
    for path in NCCL_FILES:
        facts, troubles = read(path.read_text(encoding="utf-8"))
        assert {one.kind for one in troubles} <= {Kind.CUT}, path
        best[path.stem.partition("__")[2]] = facts[-1].busbw_gbyte_s
    assert best["h100_64gpu_sharp_coreweave"] == 385.56
    assert best["oci_2node_h100"] == 470.75
    assert best["gb200_nvl72_1rack"] == 846.82


def test_the_table_reads_like_theirs(capsys):
    facts = (*read(WHOLE)[0],)
    seen = Observation("n001", "all_reduce", None, facts)
    console = Console(width=160, color_system=None)
    for one in collective_tables([seen]):
        console.print(one)
    said = capsys.readouterr().out
    assert "all_reduce among n001: 2 ranks, nccl-tests, NCCL 2.23.4, NVLS" in said
    row = next(line for line in said.splitlines() if "4194304" in line)
    assert [word for word in row.split() if word[0].isdigit()] == [
        *("4194304", "200.0", "20.970", "20.970", "0"), *("210.0", "19.970", "19.970", "0"),
    ]  # fmt: skip
    assert collective_tables([]) == []
