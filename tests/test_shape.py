"""The house keeps its shape: who may import whom, and who may touch the world."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "clusterctl"
FILES = sorted(path for path in HOUSE.rglob("*.py"))

# A leaf may import these and its own siblings' types, nothing else of ours.
PURE = ("model", "spelling", "sysfs", "verdicts", "peers", "counters", "kernel_log", "knowledge")
# Node ranges and typos are read one way in every file that people write.
SPELLERS = {"localise": {"clusterctl.inventory.ranges", "clusterctl.yaml_files"}}
LEAVES = ("probes", "trials", "checks", "expected", "localise")
WORLD = (
    "os",
    "subprocess",
    "socket",
    "time",
    "random",
    "secrets",
    "threading",
    "shutil",
    "tempfile",
)
# Where the world enters.
MAY = {
    # install_timer: systemd itself says whether a unit is one
    "subprocess": ("transport/", "cli/campaigns.py", "cli/install_timer.py"),
    "socket": ("transport/",),
    "paramiko": ("transport/",),
    "typer": ("cli/",),
    "pandas": ("store.py", "report/", "memory/"),
    "pyarrow": ("store.py", "bandwidth/folder.py", "triage/timeline/trace_files.py", "memory/"),
    "threading": ("fanout.py", "campaign/agenda.py", "transport/", "store.py"),
    "time": ("cli/", "transport/", "fanout.py", "campaign/agenda.py", "campaign/lead.py"),
    "secrets": ("cli/", "transport/wire.py"),
    "random": (
        "cli/",
        "run.py",
        "campaign/decisions.py",
        "campaign/lead.py",
        "model.py",
        "trials/",
        "transport/",
    ),
    "os": (
        "cli/",
        "transport/",
        "store.py",
        "campaign/folder.py",
        "bandwidth/folder.py",
        "inventory/",
        "lock.py",
        "support/archive.py",
        "act/notify_log.py",
        "act/journal.py",
        "memory/acks.py",
    ),
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def place(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("clusterctl.")}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_only_the_edges_touch_the_world(path):
    where = place(path)
    if where.startswith("remote/"):
        return
    for name in {name.partition(".")[0] for name in imports(path)} & set(MAY):
        assert where.startswith(MAY[name]), f"{where} must not import {name}"


@pytest.mark.parametrize("path", [p for p in FILES if place(p).split("/")[0] in LEAVES], ids=place)
def test_a_leaf_knows_only_the_nouns(path):
    own = place(path).split("/")[0]
    spelled = SPELLERS.get(own, set())
    needs = {name for name in imports(path) if not name.startswith(tuple(spelled) or "\0")}
    assert {n.split(".")[1] for n in needs if n.startswith("clusterctl.")} <= {*PURE, own}
    if own in {"probes", "checks"}:
        assert not {name.partition(".")[0] for name in imports(path)} & set(WORLD)


def test_the_model_imports_nothing_of_ours():
    assert not ours(HOUSE / "model.py")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nobody_imports_the_cli_or_what_runs_on_nodes(path):
    where = place(path)
    if where != "__main__.py" and not where.startswith("cli/"):
        assert "cli" not in ours(path)
    assert "remote" not in ours(path)


def test_there_is_no_circle():
    graph = {place(path): needed(path) for path in FILES if not place(path).startswith("remote/")}
    done: set[str] = set()

    def walk(where: str, trail: tuple[str, ...]) -> None:
        assert where not in trail, " -> ".join((*trail, where))
        if where not in done:
            for other in graph.get(where, ()):
                walk(other, (*trail, where))
            done.add(where)

    for start in graph:
        walk(start, ())


def needed(path: Path) -> set[str]:
    """The files of ours that a file imports, other than the package it lies in."""
    found = set()
    for name in imports(path):
        if not name.startswith("clusterctl."):
            continue
        stem = HOUSE / Path(*name.split(".")[1:])
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            inside = candidate.name == "__init__.py" and candidate.parent in path.parents
            if candidate.is_file() and candidate != path and not inside:
                found.add(place(candidate))
    return found


def test_the_broad_except_lives_in_one_file():
    """Where a failure may be swallowed is decided once, in observe.py."""
    for path in FILES:
        broad = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ExceptHandler)
            and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
            and ast.unparse(node.body[-1]) != "raise"  # tidying up on the way out swallows nothing
        ]
        if not place(path).startswith("remote/"):
            assert not broad or place(path) == "observe.py", f"{place(path)}: {broad}"


def test_a_source_names_the_original():
    """Notes of ours that nobody else has are no source."""
    for path in [*FILES, *HOUSE.rglob("*.yml"), *HOUSE.rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(peers|localise|vendor_tools)\.md", text), place(path)
