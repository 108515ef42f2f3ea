"""The lab's nodes as fixtures: `lab` for all tests of a session, `faults` for one test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "lab"))

import fabric as fabrics
from faults import clear_all, inject
from lab import Lab, missing, start, stop

Inject = Callable[..., None]
CAMPAIGNS = ("test_campaign", "test_supervise", "test_triage")

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


@pytest.hookimpl(wrapper=True)  # before xdist, which reads the groups in its own
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Two workers have a lab each, campaigns apart since they mostly wait; a third has the rest.

    Real nodes begin: they take longest.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not on_real_nodes(item))
        for item in items:
            item.add_marker(pytest.mark.xdist_group(group(item)))
    return (yield)


def group(item: pytest.Item) -> str:
    if not on_real_nodes(item):
        return item.path.stem
    return "campaigns" if item.path.stem.startswith(CAMPAIGNS) else "nodes"


def on_real_nodes(item: pytest.Item) -> bool:
    """It asks for the nodes, or its file starts some of its own."""
    wanted = {"lab", "faults", "fabric"} & set(getattr(item, "fixturenames", ()))
    used = {getattr(thing, "__module__", "") for thing in vars(item.module).values()}
    return bool(wanted) or bool(used & {"lab", "namespaces", "raising"})
