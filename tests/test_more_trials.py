"""Loopback, shared storage, everything at once, power steps, as nodes run them."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from burning import SEED, Burning, asked, scratch_of, scribble, stage, statuses
from kin import alive, generation, gone, wait_for

from clusterctl.model import Bandwidth, Burn, Kind, Node, Observation, Pace, Playbook, UserError
from clusterctl.playbook import build
from clusterctl.remote import perftest
from clusterctl.run import refuse_absent_partners
from clusterctl.trials.cpu_burn import digest

CAPTURES = Path(__file__).parent.parent.parent / "shared" / "captures"
CAPTURED = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures are not here")
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root may change another process's memory")
NEW = sys.executable
OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
PYTHONS = pytest.mark.parametrize(
    "python",
    [
        NEW,
        pytest.param(str(OLD[0]) if OLD else "", marks=pytest.mark.skipif(not OLD, reason="3.6")),
    ],
    ids=["new", "3.6"],
)
CLEAN = {"pass", "skip"}
SCRIPT, WORKERS = 2, 3  # generations below the guardian


@pytest.fixture(autouse=True)
def family(monkeypatch) -> Iterator[str]:
    """Marks every process that a test starts; none may outlive it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5), alive(mark)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """Where scratch files go.  Neither there nor in the working directory may anything stay."""
    places = [tmp_path / "scratch", tmp_path / "home"]
    for place in places:
        place.mkdir()
    monkeypatch.chdir(places[1])
    yield places[0]
    assert [list(place.iterdir()) for place in places] == [[], []]


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tool("dcgmi", "exit 3")` stands before the real one on the PATH."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    monkeypatch.setenv("PATH", f"{stubs}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        (stubs / name).write_text(f"#!/bin/sh\n{script}\n")
        (stubs / name).chmod(0o755)

    return make


# ----------------------------------------------------------------------------- loopback

HEADER = " #bytes     #iterations    BW peak[{unit}]    BW average[{unit}]   MsgRate[Mpps]"
ROW = " 1048576    20000            {rate}            {rate}		   0.003007"


@pytest.fixture
def classes(tmp_path) -> Path:
    """A look-alike of /sys/class: two RDMA ports, one of them down, and a card beside them."""
    root = tmp_path / "class"
    for device, state in (("mlx5_0", "4: ACTIVE"), ("mlx5_1", "1: DOWN")):
        port = root / "infiniband" / device / "ports" / "1"
        port.mkdir(parents=True)
        (port / "state").write_text(state + "\n")
        (root / "infiniband" / device / "device" / "net" / f"ib{device[-1]}").mkdir(parents=True)
    for name in ("ib0", "none0"):
        (root / "net" / name / "device").mkdir(parents=True)
    return root


def loop(root: Path | str = "/sys/class", python: str = NEW, **knobs: object) -> Observation:
    what = stage("nic_loopback", **{"seconds": 0.5} | knobs)
    return Burning(asked(what, swap={"/sys/class": str(root)}), python).join()


IB_WRITE_BW = """
case "$*" in *127.0.0.1*) ;; *) exec sleep 60;; esac
cat <<'.'
{}
.
exit {}
"""


def perftest_says(rate: float, unit: str = "Gb/sec") -> str:
    return f"{HEADER.format(unit=unit)}\n{ROW.format(rate=rate)}"


@PYTHONS
def test_an_rdma_port_is_crossed_by_perftest(python, classes, tool):
    shutil.rmtree(classes / "net" / "none0")
    tool("ib_write_bw", IB_WRITE_BW.format(perftest_says(388.5), 0))
    seen = loop(classes, python)
    assert seen.facts == (
        Bandwidth("mlx5_0/1", "perftest ib_write_bw", 388.5, 1048576, 0.5, crossed=True),
    )
    # A port that is down is another check's affair; this one cannot test it.
    assert not seen.troubles


def test_a_client_that_comes_before_its_server_comes_again(classes, tool, tmp_path):
    shutil.rmtree(classes / "net" / "none0")
    met = tmp_path / "met"
    once = f'[ -e {met} ] || {{ : >{met}; echo "Couldn\'t connect"; exit 1; }}\n'
    late = IB_WRITE_BW.format(perftest_says(100.0), 0).replace("cat <<", once + "cat <<")
    tool("ib_write_bw", late)
    assert [fact.gbit_s for fact in loop(classes).facts] == [100.0]


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("Completion with error at client\nFailed status 12: wr_id 7 syndrom 0x81", 1),
        (perftest_says(388.5) + "\nFailed status 12: wr_id 7", 0),
        (perftest_says(388.5), 1),
        (perftest_says(388.5, "furlongs"), 0),
        ("", 0),
    ],
    ids=["retry exceeded", "after a result", "exit", "unit", "mute"],
)
def test_a_loopback_that_fails_is_the_ports_trouble_and_no_rate(says, code, classes, tool):
    shutil.rmtree(classes / "net" / "none0")
    tool("ib_write_bw", IB_WRITE_BW.format(says, code))
    seen = loop(classes)
    assert not seen.facts
    assert [(trouble.kind, trouble.part) for trouble in seen.troubles] == [(Kind.EXIT, "mlx5_0/1")]
    assert "unknown" in statuses(seen)


def test_a_card_without_an_address_is_said_by_name(classes, tool):
    tool("ib_write_bw", IB_WRITE_BW.format(perftest_says(388.5), 0))
    seen = loop(classes)
    assert [fact.part for fact in seen.facts] == ["mlx5_0/1"]
    assert [trouble.part for trouble in seen.troubles] == ["none0"]


@PYTHONS
def test_tcp_to_an_own_address_works_and_is_never_taken_for_the_port(python, tmp_path):
    (tmp_path / "net" / "lo" / "device").mkdir(parents=True)
    seen = loop(tmp_path, python, engine="tcp")
    (fact,) = seen.facts
    assert (fact.part, fact.engine, fact.crossed) == ("lo", "built-in TCP", False)
    assert fact.gbit_s > 0
    (found,) = [one for one in verdicts(seen) if one.verdict.part == "lo"]
    assert str(found.verdict.status) == "skip"
    assert "the port itself was not used" in found.verdict.why


def verdicts(seen: Observation):
    from clusterctl.catalog import all_checks, all_trials
    from clusterctl.judge import judge
    from clusterctl.run import as_probe

    trial = all_trials()[seen.probe]
    checks = tuple(c for c in all_checks().values() if set(c.wants) <= set(trial.yields))
    book = Playbook("test", checks=checks)
    return judge(book, [Node(seen.node)], [seen], probes={trial.name: as_probe(trial)})


def test_a_node_without_ports_is_unknown(tmp_path):
    seen = loop(tmp_path)
    assert [trouble.kind for trouble in seen.troubles] == [Kind.MISSING]
    assert statuses(seen) >= {"unknown"}


@CAPTURED
@pytest.mark.parametrize(
    ("name", "gbit_s"),
    [
        ("superbench_ib_loopback_8M_size.txt", 24056.72 * 8 * 1048576 / 1e9),
        ("superbench_ib_loopback_all_sizes.txt", None),
    ],
)
def test_captured_loopbacks_are_read_in_their_own_unit(name, gbit_s):
    rate, size = perftest.average_gbit_s((CAPTURES / "perftest" / name).read_text())
    assert size == 8388608
    assert rate == pytest.approx(gbit_s or 195, rel=1e-2)


def test_megabytes_and_gigabits_are_not_mixed_up():
    assert perftest.average_gbit_s(perftest_says(200.0)) == (200.0, 1048576)
    assert perftest.average_gbit_s(perftest_says(23841.86, "MiB/sec"))[0] == pytest.approx(200.0)


# ----------------------------------------------------------------------------- storage


def storage(folder: Path, *, local: bool = True, **knobs: object):
    given = {"folder": str(folder), "seconds": 0.5, "size_mib": 4, "mb_s": 50.0} | knobs
    return stage("storage_burn", local=local, **given)


@PYTHONS
def test_storage_is_written_and_read_back_no_faster_than_told(python, folder):
    seen = Burning(asked(storage(folder)), python).join()
    (fact,) = seen.facts
    assert (fact.part, fact.errors) == (f"storage:{folder}", 0)
    assert 0 < fact.rate <= 0.0501
    assert fact.amount % (2 << 20) == 0
    assert statuses(seen) <= CLEAN


@ROOT
def test_storage_that_gives_back_something_else_fails(folder, family):
    burning = Burning(asked(storage(folder, seconds=1.5, size_mib=16)), NEW)
    assert wait_for(lambda: generation(family, SCRIPT))
    (script,) = generation(family, SCRIPT)
    assert wait_for(lambda: scratch_of(script, folder))
    import random

    path, rng = scratch_of(script, folder), random.Random(1)
    while burning.running:
        scribble(path, rng)
    (fact,) = burning.join().facts
    assert fact.errors > 0
    assert "first wrong at " in fact.detail


def test_a_folder_with_nothing_remote_mounted_is_not_burnt(folder):
    seen = Burning(asked(storage(folder, local=False)), NEW).join()
    assert not seen.facts
    assert "nothing remote is there" in seen.troubles[0].detail


def test_a_storage_that_refuses_is_trouble(tmp_path):
    seen = Burning(asked(storage(tmp_path / "absent")), NEW).join()
    assert [trouble.kind for trouble in seen.troubles] == [Kind.EXIT]


def test_all_nodes_are_loaded_together_or_none(folder):
    nodes = [Node(f"n{number}") for number in range(5)]
    book = Playbook("book", pace=Pace(at_once=4), stages=(storage(folder),))
    with pytest.raises(UserError, match="at-once 5"):
        refuse_absent_partners(book, nodes)


@pytest.mark.parametrize(
    ("trial", "knobs", "names"),
    [
        ("storage_burn", {}, "folder"),
        ("storage_burn", {"folder": "/mnt", "mb_s": 0}, "mb_s"),
        ("nic_loopback", {"engine": "iperf"}, "engine"),
        ("power_step", {"period_s": 0.01}, "period_s"),
        ("power_step", {"duty": 1.0}, "duty"),
        ("gpu_burn", {"engine": "dcgmi", "level": 5}, "level"),
        ("gpu_burn", {"engine": "ascend-dmi", "precision": "fp64"}, "precision"),
    ],
)
def test_knobs_that_cannot_be_are_refused_before_anything_runs(trial, knobs, names):
    with pytest.raises(UserError, match=f"{trial}: {names}"):
        build("book.yml", {"name": "book", "stages": [{trial: knobs}]})


# ----------------------------------------------------------------------------- all at once


@PYTHONS
def test_everything_at_once_reports_every_part(python, folder):
    knobs = {"seconds": 0.5, "memory_share": 0.005, "folder": str(folder), "size_mib": 4}
    seen = Burning(asked(stage("mix", **knobs)), python).join()
    burns = {fact.part: fact for fact in seen.facts if isinstance(fact, Burn)}
    assert set(burns) >= {"cpu", "memory", f"disk:{folder}"}
    # Rates beside others are not compared with rates alone.
    assert all(fact.engine.endswith(", beside others") for fact in burns.values())
    assert all(fact.errors == 0 for fact in burns.values())
    ports = list(Path("/sys/class/net").glob("*/device"))
    loops = [fact for fact in seen.facts if isinstance(fact, Bandwidth)]
    assert len(loops) + len(seen.troubles) >= len(ports)


def test_one_load_that_breaks_costs_its_own_part(folder):
    shut = folder / "absent"
    knobs = {"seconds": 0.3, "memory_share": 0.005, "folder": str(shut), "size_mib": 4}
    seen = Burning(asked(stage("mix", **knobs)), NEW).join()
    assert {fact.part for fact in seen.facts if isinstance(fact, Burn)} == {"cpu", "memory"}
    assert any(str(shut) in trouble.detail for trouble in seen.troubles)
    assert "unknown" in statuses(seen)


# ----------------------------------------------------------------------------- steps


def steps(seconds: float = 2.2, **knobs: object):
    return stage("power_step", **{"seconds": seconds, "period_s": 0.5, "engine": "cpu"} | knobs)


@PYTHONS
def test_cores_step_on_whole_multiples_of_the_clock(python):
    seen = Burning(asked(steps()), python).join()
    (fact,) = seen.facts
    assert (fact.part, fact.unit, fact.errors) == ("cpu", "steps", 0)
    assert 3 <= fact.amount <= 4
    assert "steps of 0.5 s, full for 0.25 s" in fact.detail
    assert ("power cannot be read here" in fact.detail) == (fact.power_w is None)
    assert statuses(seen) <= CLEAN | ({"unknown"} if fact.covered < 1 else set())


@ROOT
def test_a_core_that_computes_wrong_in_a_step_fails(family):
    burning = Burning(asked(steps(), swap={digest(SEED): digest(SEED + 1)}), NEW)
    (fact,) = burning.join().facts
    assert fact.errors > 0


def test_cores_do_rest_between_steps(family):
    def spent() -> float:
        total = 0.0
        for pid in generation(family, WORKERS):
            cells = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(cells[11]) + int(cells[12])) / os.sysconf("SC_CLK_TCK")
        return total

    burning = Burning(asked(steps(3.0, duty=0.2)), NEW)
    held = [0.0]
    while burning.running:
        try:
            held.append(spent())
        except OSError:
            break
        wait_for(lambda: not burning.running, 0.05)
    burning.join()
    cores = len(os.sched_getaffinity(0))
    assert 0 < max(held) < 0.45 * 3.0 * cores
