"""An index must change nothing but the time that finding a host's settings takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clusterctl.transport.ssh_config import Line, settings
from clusterctl.transport.ssh_index import index

NAMES = ("n1", "n2", "N1", "10.0.0.1", "")
WORDS = (*NAMES[:-1], "n*", "n?", "!n1", "!n*", "*", "10.0.0.*", "n[1]", "other")
host = st.tuples(st.just("host"), st.lists(st.sampled_from(WORDS), max_size=3).map(tuple))
match = st.sampled_from(
    [("match", ("all",)), ("match", ("host", "n1")), ("match", ("originalhost", "n2", "user", "u"))]
)
lines = st.builds(
    Line,
    st.lists(host | match, max_size=2).map(tuple),
    st.sampled_from(["user", "port", "hostname", "identityfile"]),
    st.sampled_from([("u",), ("n1",), ("22",)]),
)


@given(st.lists(lines, max_size=12), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_what_the_index_leaves_out_says_nothing_about_the_host(config, name, address):
    names = tuple(dict.fromkeys(one for one in (name, address) if one))
    about = index(config).about((name, address))
    assert settings(about, names, "", "me") == settings(config, names, "", "me")


def test_other_nodes_blocks_are_not_even_looked_at():
    blocks = [Line((("host", (f"n{number}",)),), "port", (str(number),)) for number in range(1, 99)]
    common = Line((("host", ("*",)),), "user", ("ops",))
    assert index([*blocks, common]).about(("n7", "")) == (blocks[6], common)
