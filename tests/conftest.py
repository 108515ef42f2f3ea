"""The lab's nodes as fixtures: `lab` for all tests of a session, `faults` for one test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent / "lab"))

import fabric as fabrics
from faults import clear_all, inject
from lab import Lab, missing, start, stop

Inject = Callable[..., None]
CAMPAIGNS = ("test_campaign", "test_supervise", "test_triage_lab")
NODES = frozenset(
    {"test_no_silent_pass", "test_lab", "test_lab_fabric", "test_bad_days", "test_fabric_ibsim"}
)

# Whoever starts us in the background of a shell has us ignore it, and our children with us; then
# no test could see what Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("COLUMNS", None)  # a worker of xdist is told eighty; who needs a width says so


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Sixteen nodes n01 to n16, started when the first test asks for them."""
    if reason := missing():
        pytest.skip(reason)
    running, holder = start(16)
    yield running
    stop(holder)


@pytest.fixture
def faults(lab: Lab) -> Iterator[Inject]:
    """`faults("n03", "xid79")` or `faults("n03", "gpus", "6")`; undone after the test."""
    broken: list[str] = []

    def breaking(node: str, name: str, argument: str = "") -> None:
        broken.append(node)
        inject(lab, node, name, argument)

    yield breaking
    clear_all(lab, dict.fromkeys(broken))


@pytest.fixture(scope="session")
def laid(lab: Lab) -> fabrics.Net:
    return fabrics.lay(lab)


@pytest.fixture
def fabric(laid: fabrics.Net) -> Iterator[fabrics.Net]:
    """Rails, leaves and spines between the lab's nodes; healed after the test."""
    laid.mend()
    yield laid
    laid.mend()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Real nodes begin: they take longest."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if on_real_nodes(item) and group(item.nodeid) not in {"campaigns", "nodes"}:
            told = "starts real nodes: call the file test_…_lab.py, or name it in conftest.NODES"
            raise pytest.UsageError(f"{item.nodeid}: {told}")
    items.sort(key=lambda item: not on_real_nodes(item))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Files stay whole; two workers have a lab each, campaigns apart since they mostly wait.

    xdist_group would say the same, but xdist 3.8 does not reach the names of pytest 9.
    """
    return Groups(config, log)


class Groups(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    stem = Path(nodeid.partition("::")[0]).stem
    if stem.startswith(CAMPAIGNS):
        return "campaigns"
    return "nodes" if stem in NODES or stem.endswith("_lab") else stem


def on_real_nodes(item: pytest.Item) -> bool:
    """It asks for the nodes, or its file starts some of its own."""
    wanted = {"lab", "faults", "fabric"} & set(getattr(item, "fixturenames", ()))
    used = {getattr(thing, "__module__", "") for thing in vars(item.module).values()}
    return bool(wanted) or bool(used & {"lab", "namespaces", "raising"})
