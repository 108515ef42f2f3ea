"""Twelve nodes of which ten break under load, each in its own way, and each is named."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest
from campaign_runs import Led, load_on, traces
from campaigns import soon
from faults import clear_all, inject
from lab import Lab

from clusterctl import store
from clusterctl.acceptance import Outcome, decide, shipped_rules
from clusterctl.campaign.folder import cases
from clusterctl.model import Status

pytestmark = pytest.mark.lab

TWELVE = [f"n{number:02d}" for number in range(1, 13)]
# Loads that sleep: what twelve nodes compute on one machine says nothing of their speed.
PLAYBOOK = """
pace: {at_once: 16, node_s: 60}
stages:
  - cpu_burn: {seconds: 1, engine: stress-ng}
  - gpu_burn: {seconds: 1, size: 256, share: 0.05}
soak:
  hours: %s
  sample_s: 1
  tick_s: 2
  silent_s: 90
  load: [cpu_burn: {seconds: 2, engine: stress-ng}]
lease_s: 60
expect:
  burn_rate:
    gpu_tflop_s: {value: 1.0e-9, source: GPUs that are a C program}
    sigmas: {value: 1000, source: they share one processor}
    implausible_times: {value: 1000, source: and who is first has it for itself}
"""
BURNT_S = 32
COUNTERS = "/sys/class/infiniband/mlx5_2/ports/1"
PLACE = "/var/tmp"  # noqa: S108 - of a node
SUPERVISOR = " supervisor"
STANDS_STILL_S = 16


@pytest.fixture(scope="module")
def broken(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Led]:
    led = Led(lab, tmp_path_factory.mktemp("broken"), "n[01-12]", burnt_s=BURNT_S)
    (led.folder / "burn.yml").write_text(PLAYBOOK % (BURNT_S / 3600))
    stressors = {"n02": "segfault", "n03": "hang", "n04": "zero", "n05": "absurd"}
    for node in TWELVE:
        inject(lab, node, "stressor", stressors.get(node, "ok"))
    inject(lab, "n07", "bit_wrong", "2")
    inject(lab, "n10", "clock_set", "0")
    lab.write("n10", f"{COUNTERS}/counters/symbol_error", "60000\n")
    lab.write("n10", f"{COUNTERS}/hw_counters/local_ack_timeout_err", f"{2**32 - 3}\n")
    lab.do("n12", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", PLACE)
    led.start()
    break_under_load(lab, led)
    led.wait(150)
    yield led
    clear_all(lab, TWELVE)


def break_under_load(lab: Lab, led: Led) -> None:
    """Each when its soak has begun."""
    led.until("n12", "soaking")
    fill(lab)
    led.until("n11", "soaking")
    (supervisor,) = [p for p, text in lab.processes("n11").items() if text.endswith(SUPERVISOR)]
    os.kill(supervisor, signal.SIGSTOP)
    stopped_at = time.monotonic()
    led.until("n06", "soaking")
    inject(lab, "n06", "xid79")
    inject(lab, "n06", "gpu_dead", "1")
    led.until("n08", "soaking")
    inject(lab, "n08", "ecc")
    led.until("n09", "soaking")
    inject(lab, "n09", "throttle")
    led.until("n10", "soaking")
    inject(lab, "n10", "clock_set", "-3600")
    lab.write("n10", f"{COUNTERS}/counters/symbol_error", "0\n")
    lab.write("n10", f"{COUNTERS}/hw_counters/local_ack_timeout_err", "2\n")
    assert soon(lambda: not load_steps(lab, "n12"), 30)
    lab.do("n12", "rm", f"{PLACE}/fill")
    time.sleep(max(0.0, stopped_at + STANDS_STILL_S - time.monotonic()))
    os.kill(supervisor, signal.SIGCONT)


def fill(lab: Lab) -> None:
    lab.enter("n12", "sh", "-c", f"cat /dev/zero >{PLACE}/fill")


def load_steps(lab: Lab, node: str) -> list[str]:
    return [text for text in load_on(lab, node) if "cpu_burn" in text]


def outcomes(led: Led) -> dict[str, Outcome]:
    run = store.load(store.stored(led.final))
    return {one.node: one for one in decide(run, shipped_rules())}


def test_each_fault_is_named_with_its_rule_and_no_healthy_node_is_refused(broken):
    assert {node: (str(one.decision), one.rule) for node, one in outcomes(broken).items()} == {
        "n01": ("ACCEPT", "accepted"),
        "n02": ("QUARANTINE", "cannot-hold-its-load"),  # its stressor segfaults
        "n03": ("QUARANTINE", "cannot-hold-its-load"),  # ... hangs
        "n04": ("QUARANTINE", "wrong-results"),  # ... computes nothing, and says OK
        "n05": ("INCOMPLETE", "not-seen"),  # ... computes more than can be true
        "n06": ("QUARANTINE", "fell-off-the-bus"),
        "n07": ("QUARANTINE", "other-bits"),
        "n08": ("QUARANTINE", "lost-data"),
        "n09": ("QUARANTINE", "held-back-by-heat"),
        "n10": ("ACCEPT", "accepted"),  # its counters wrap and fall, its clock goes back an hour
        "n11": ("INCOMPLETE", "too-few-samples"),
        "n12": ("ACCEPT", "accepted"),  # its disk was full for a while
    }, broken.said()


def evidence(led: Led, node: str) -> str:
    verdicts = [one.verdict for one in outcomes(led)[node].evidence]
    return "; ".join(f"{one.part}: {one.actual}: {one.why}" for one in verdicts)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("n02", "-11"),
        ("n03", "cpu_burn"),
        ("n04", "cpu"),
        ("n05", "faster than can be true"),
        ("n06", "0000:43:00.0: XID 79"),
        ("n06", "gpu1: GpuIsLost"),
        ("n07", "gpu2"),
        ("n07", "rows 128-255, columns 0-255"),
        ("n08", "gpu3: 1"),
        ("n09", "gpu3: hw_thermal"),
        ("n11", "samples"),
    ],
)
def test_the_evidence_says_which_part_and_what_of_it(broken, node, says):
    assert says in evidence(broken, node)


def test_whoever_the_samples_prove_bad_leaves_at_once(broken):
    known = cases(broken.final, store.stored(broken.final).nodes())
    for node, words in (("n06", "xid|accelerator"), ("n08", "ecc"), ("n09", "throttle|temp")):
        assert re.match(f"samples: ({words})", known[node].why), (node, known[node].why)
        assert known[node].course.burnt_s < BURNT_S
    assert known["n01"].why == "burnt"


def test_a_clock_that_is_set_back_is_said_and_costs_nothing(broken):
    findings = {one.check: one.verdict for one in broken.findings("n10")}
    assert findings["clock_stepped"].status is Status.WARN
    assert findings["clock_stepped"].actual.startswith("-3")
    assert findings["burnt_time"].status is Status.PASS


def test_nothing_is_left_on_any_node(lab, broken):
    assert traces(lab, TWELVE) == []
