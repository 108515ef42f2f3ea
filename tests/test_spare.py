"""A sweep disturbs no job: last in every queue, and what a job could feel is not asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scripted import NOON, Scripted, answers, nodes, probe, said

from clusterctl.catalog import all_probes, named_probes
from clusterctl.judge import judge
from clusterctl.model import (
    LEFT_ALONE,
    SPARED,
    Accelerator,
    Answer,
    Kind,
    Node,
    Observation,
    Playbook,
    Question,
    Status,
    Trouble,
)
from clusterctl.observe import observe
from clusterctl.run import admit, holders
from clusterctl.transport.local import Local

PYENV = sorted((Path.home() / ".pyenv/versions").glob("3.6.*/bin/python3"))
PYTHONS = [sys.executable, *(str(one) for one in PYENV[:1])]


@pytest.fixture(params=PYTHONS, ids=lambda way: "-".join(Path(way).parts[-3:-2]))
def python(request) -> str:
    return request.param


def asked(python: str, *questions: Question, nice: int = 19) -> dict[str, Answer]:
    with Local(30, nice=nice, pythons=python).open(Node("here")) as shell:
        return {answer.name: answer for answer in shell.ask(questions)}


@contextmanager
def holding(path: Path, name: str = "train") -> Iterator[None]:
    """A process of that name that has the file open."""
    program = path.parent / name
    shutil.copy(shutil.which("sleep") or "", program)
    with path.open() as file:
        job = subprocess.Popen([program, "60"], stdin=file)
    try:
        yield
    finally:
        job.kill()
        job.wait()


@pytest.fixture
def device(tmp_path) -> Path:
    (tmp_path / "dev0").write_text("")
    (tmp_path / "dev1").write_text("")
    return tmp_path / "dev0"


def touching(device: Path, **how: object) -> Question:
    pattern = str(device.parent / "dev[0-9]*")
    return Question("touching", ("echo", "touched"), spare=(pattern,), **how)  # type: ignore[arg-type]


def test_what_a_job_could_feel_is_not_asked_while_it_holds_a_device(python, device):
    with holding(device):
        told = asked(python, touching(device), Question("free", ("echo", "asked")))
    assert (told["touching"].exit_code, told["touching"].stdout) == (SPARED, "")
    assert told["free"].stdout == "asked\n"


def test_where_no_job_holds_one_it_is_asked(python, device):
    assert asked(python, touching(device))["touching"].stdout == "touched\n"


def test_a_daemon_of_the_vendor_is_no_job(python, device):
    with holding(device, "nvidia-persistenced"):
        assert asked(python, touching(device))["touching"].stdout == "touched\n"


def test_we_ourselves_are_no_job(python, device):
    holds = Question("holds", ("sh", "-c", f"exec 3<{device}; sleep 1; echo held"))
    told = asked(python, holds, touching(device, group="g"))
    assert told["touching"].stdout == "touched\n"


def test_a_device_that_is_awake_may_be_asked_beside_a_job_and_one_asleep_may_not(python, device):
    information = device.parent / "information"
    gently = touching(device, asleep=(str(information), "??.??"))
    with holding(device):
        for said_of_bios, exit_code in (("96.00.89", 0), ("??.??.??", SPARED), (None, 0)):
            information.unlink(missing_ok=True)
            if said_of_bios:
                information.write_text(f"Video BIOS: \t {said_of_bios}\n")
            assert asked(python, gently)["touching"].exit_code == exit_code, said_of_bios


def test_a_sweep_is_last_for_the_processor_and_for_the_disk(python):
    niceness = Question("nice", ("sh", "-c", "nice; ionice -p $$"))
    assert asked(python, niceness)["nice"].stdout.split() == ["19", "idle"]
    loaded = asked(python, niceness, nice=0)["nice"].stdout.split()
    assert loaded[0] == "0"
    assert loaded[1] != "idle"


def test_the_probes_that_a_job_could_feel_are_marked():
    probes = {**all_probes(), **named_probes()}
    marked = {name for name, one in probes.items() if one.question.spare}
    assert marked == {"nvml", "nvidia_smi", "mlxlink", "mlxconfig"}
    assert {name for name in marked if probes[name].question.asleep} == {"nvml"}
    for name in marked:  # a crew asks without looking
        assert not probes[name].question.brief


def test_what_was_left_alone_is_skipped_with_its_reason_and_never_a_pass():
    spared = said("a", exit_code=SPARED, stderr="left alone: a job holds an accelerator\n")
    some = nodes(3)
    script = {"n000": answers(spared)} | {
        node.name: answers(said("a", "gpu0 41")) for node in some[1:]
    }
    probes = (probe("a"),)
    seen = [one for node in some for one in observe(node, probes, Scripted(script), lambda: NOON)]
    assert seen[0].skip == LEFT_ALONE
    book = Playbook("p", probes=probes)
    found = judge(book, some, seen, probes={"a": probes[0]})
    left = {one.check: one.verdict for one in found if one.verdict.node == "n000"}
    assert left["observed"].status is Status.SKIP
    assert left["observed"].why == LEFT_ALONE
    assert isinstance(seen[1].facts[0], Accelerator)


def test_a_node_whose_accelerators_are_held_unseen_is_never_loaded():
    left = Observation("n000", "nvidia_smi", NOON, skip=LEFT_ALONE)
    broken = Observation("n000", "nvml", NOON, troubles=(Trouble(Kind.EXIT, "no library"),))
    assert "held by somebody" in holders([left, broken])
    assert not holders([Observation("n000", "nvml", NOON, (Accelerator("gpu0"),)), left])
    ready, refused = admit(nodes(1), [left, broken], force=False)
    assert (ready, list(refused)) == ([], ["n000"])
