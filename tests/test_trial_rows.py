"""What load scripts print, whole, cut, bent and forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.model import Bandwidth, Burn, Kind, Trouble
from clusterctl.trials.rows import parse

BURN = (
    "burn\tpart=cpu\tengine=stress-ng 0.15.06\tseconds=20.5\tamount=8234\tunit=operations\t"
    "rate=401.6\trate_unit=op_s\terrors=0\tcovered=1\tasked=1\tdetail=8 of 8 cores"
)
PATH = (
    "bandwidth\tpart=n1>n2\tengine=built-in TCP, 2 streams\tgbit_s=93.5\tsize_bytes=262144\t"
    "seconds=4\tsamples_gbit_s=93 94\tretransmits=7"
)
WHOLE = f"trouble\texit\t1 of 8 workers gave no result\n{BURN}\n{PATH}\nend\t3\n"


def found(text: str) -> tuple[list[Burn | Bandwidth], list[Trouble]]:
    items = list(parse(text))
    troubles = [item for item in items if isinstance(item, Trouble)]
    return [item for item in items if not isinstance(item, Trouble)], troubles


def test_a_whole_answer_is_read():
    facts, troubles = found(WHOLE)
    assert facts == [
        Burn(
            "cpu", "stress-ng 0.15.06", 20.5, 8234.0, "operations", 401.6, "op_s", 0, 1.0, 1.0,
            "8 of 8 cores",
        ),
        Bandwidth(
            "n1>n2", "built-in TCP, 2 streams", 93.5, 262144, 4.0, (93.0, 94.0), retransmits=7
        ),
    ]  # fmt: skip
    assert troubles == [Trouble(Kind.EXIT, "1 of 8 workers gave no result")]


def test_a_tool_that_is_not_there_is_missing():
    assert found("trouble\tmissing\tfio is not installed\nend\t1\n")[1][0].kind is Kind.MISSING


def test_every_cut_is_seen_and_adds_nothing():
    whole, _ = found(WHOLE)
    for length in range(len(WHOLE)):
        facts, troubles = found(WHOLE[:length])
        assert all(fact in whole for fact in facts)
        assert troubles


@pytest.mark.parametrize("cell", BURN.split("\t")[1:])
def test_a_cell_left_out_is_not_one_without_a_value(cell):
    facts, troubles = found(f"{BURN.replace(chr(9) + cell, '', 1)}\n{PATH}\nend\t2\n")
    assert [type(fact) for fact in facts] == [Bandwidth]
    assert troubles[0].kind is Kind.UNREADABLE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("errors=0", "errors=-1"),
        ("errors=0", "errors=0.5"),
        ("errors=0", "errors=none"),
        ("errors=0", "errors=0\terrors=7"),
        ("errors=0", f"errors={1 << 63}"),
        ("rate=401.6", "rate=nan"),
        ("rate=401.6", "rate=-1"),
        ("seconds=20.5", "seconds=N/A"),
        ("covered=1", "covered=1.5"),
        ("covered=1", "covered=inf"),
        ("part=cpu", "part="),
        ("part=cpu", "part=cpu\tcolour=red"),
        ("burn\t", "burned\t"),
    ],
)
def test_a_row_that_cannot_be_right_is_no_fact(old, new):
    facts, troubles = found(f"{BURN.replace(old, new, 1)}\n{PATH}\nend\t2\n")
    assert [type(fact) for fact in facts] == [Bandwidth]
    assert [trouble.kind for trouble in troubles] == [Kind.UNREADABLE]


@pytest.mark.parametrize("new", ["gbit_s=N/A", "gbit_s=-1", "samples_gbit_s=93 N/A"])
def test_a_path_without_a_number_is_no_measurement(new):
    bent = PATH.replace(next(c for c in PATH.split("\t") if c.startswith(new.split("=")[0])), new)
    facts, troubles = found(f"{BURN}\n{bent}\nend\t2\n")
    assert [type(fact) for fact in facts] == [Burn]
    assert [trouble.kind for trouble in troubles] == [Kind.UNREADABLE]


def test_what_was_not_checked_is_none_and_not_zero():
    (fact,), _ = found(f"{BURN.replace('errors=0', 'errors=N/A')}\nend\t1\n")
    assert fact.errors is None


def test_control_characters_become_visible():
    (fact,), _ = found(f"{BURN.replace('8 of 8', chr(27) + '[31m8')}\nend\t1\n")
    assert chr(27) not in fact.detail


@given(st.data())
def test_no_garbage_raises(data):
    text = data.draw(st.one_of(st.text(), st.just(WHOLE)))
    at = data.draw(st.integers(0, max(len(text) - 1, 0)))
    list(parse(text[:at] + data.draw(st.text(max_size=3)) + text[at + 1 :]))
