"""Whatever the facts are, a check answers, about nodes and parts that exist."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import gap

from clusterctl.catalog import all_checks
from clusterctl.model import Check, Evidence, Node, Severity, Status

NODES = ("n1", "n2", "n3", "n4", "n5")
st.register_type_strategy(float, st.floats(-1e6, 1e12, allow_nan=False))
st.register_type_strategy(int, st.integers(0, 1 << 40))
st.register_type_strategy(str, st.sampled_from(["", "a", "gpu0", "0000:1b:00.0", "up", "active"]))
ONE_OF_EACH_PART = 3


@st.composite
def evidence(draw, check: Check, name: str) -> Evidence:
    kinds = (*check.wants, *check.uses)
    facts = st.lists(
        st.one_of([st.from_type(kind) for kind in kinds]),
        max_size=ONE_OF_EACH_PART,
    )
    return Evidence(
        Node(name),
        tuple(draw(facts)),
        limits=check.limits,
        earlier=tuple(draw(facts)),
        seconds=draw(st.sampled_from([None, 0.0, 60.0])),
        same_boot=draw(st.booleans()),
        gaps={kind: (gap("a", "gpu0"),) for kind in kinds if draw(st.booleans())},
    )


@pytest.mark.parametrize("check", all_checks().values(), ids=lambda check: check.name)
def test_no_facts_break_a_check_or_make_it_silent(check: Check) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*(evidence(check, name) for name in NODES)))
    def answers(nodes: tuple[Evidence, ...]) -> None:
        groups = [nodes] if check.scope == "fleet" else [(node,) for node in nodes]
        for group in groups:
            verdicts = list(check.judge(group))
            assert {verdict.node for verdict in verdicts} <= {one.node.name for one in group}
            for one in group:
                mine = [verdict for verdict in verdicts if verdict.node == one.node.name]
                assert mine or not any(isinstance(fact, check.wants) for fact in one.facts)
            for verdict in verdicts:
                asks = verdict.status in (Status.FAIL, Status.WARN)
                assert asks == (verdict.severity is not Severity.NONE)
                assert bool(verdict.remedy and verdict.source) or not asks

    answers()


def test_limits_that_ship_are_finite() -> None:
    for check in all_checks().values():
        for limit in check.limits.values():
            assert not isinstance(limit.value, float) or isfinite(limit.value)
