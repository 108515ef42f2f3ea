"""Ranges and folding, with ClusterShell's NodeSet as the oracle."""

from __future__ import annotations

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterctl.inventory.ranges import BadRange, expand, fold

RANGES = st.builds(
    lambda first, length, width, step: (
        f"{first:0{width}d}-{first + length:0{max(width, len(str(first)))}d}"
        + (f"/{step}" if step > 1 else "")
    ),
    st.integers(0, 120),
    st.integers(0, 12),
    st.integers(1, 4),
    st.integers(1, 3),
)
PATTERNS = st.builds(
    lambda head, one, middle, two: (
        f"{head}[{one}]{middle}" + (f"[{two}]" if middle and two else "")
    ),
    st.sampled_from(["n", "gpu-", "10.0.0.", "r1c"]),
    RANGES,
    st.sampled_from(["", "-", "n", ".x"]),
    st.one_of(st.just(""), RANGES),
)


@given(pattern=PATTERNS)
@settings(deadline=None)
def test_ranges_name_what_nodeset_names(pattern):
    try:
        names = expand(pattern)
    except BadRange:
        with pytest.raises(NodeSetException):
            NodeSet(pattern, resolver=RESOLVER_NOGROUP)
        return
    assert set(names) == set(NodeSet(pattern, resolver=RESOLVER_NOGROUP))
    assert len(names) == len(set(names))


@given(wanted=PATTERNS, unwanted=PATTERNS)
@settings(deadline=None)
def test_exclusion_is_nodesets_difference(wanted, unwanted):
    expected = NodeSet(f"{wanted}!{unwanted}", resolver=RESOLVER_NOGROUP)
    assert set(expand(f"{wanted},!{unwanted}")) == set(expected)


@given(names=st.sets(st.from_regex(r"(n|r[12]c|gpu-)[0-9]{1,3}|[a-z][a-z.-]{0,4}", fullmatch=True)))
@settings(deadline=None)
def test_folding_loses_no_name(names):
    folded = fold(names)
    assert set(expand(folded) if folded else ()) == names


@given(names=st.lists(st.text(max_size=12), max_size=6))
@settings(deadline=None)
def test_folding_never_raises(names):
    fold(names)


def test_odd_names_stand_beside_the_folded():
    assert fold(["n2", "n1", "n3", "a b[", "@x", "节点7"]) == "n[1-3],@x,a b[,节点7"
    assert fold([]) == ""
