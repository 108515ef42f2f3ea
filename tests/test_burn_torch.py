"""PyTorch's matrix products on this machine's cores: sound, and with faults planted beneath.

Faults come in by a package `torch` before the real one: the engine's own code is what nodes run.
"""

from __future__ import annotations

import importlib.util
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from burning import SEED, Burning, asked, fact_of, stage, statuses
from kin import alive, gone

from clusterctl.model import Burn, Kind, Observation, UserError
from clusterctl.playbook import build

OLD = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
CLEAN = {"pass", "skip"}
START_S = "120.0"

# Where the real one is found again, and what every plant may use.
PLANT = """
import os, sys, time
sys.path.remove(os.path.dirname(os.path.dirname(__file__)))
del sys.modules["torch"]
import torch
real, calls, chosen = torch.mm, 0, "cpu"

def flip(out, row, column):
    words = out.view(torch.int16)
    words[row, column] ^= 64

def mm(left, right, *, out):
    global calls
    calls += 1
    real(left, right, out=out)
    after(out)
"""
END = """
torch.mm = mm
"""
# Devices of another name that are this machine's cores in truth.
CARDS = """
class Cards:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 3)
    synchronize = staticmethod(lambda: None)

    @staticmethod
    def set_device(device):
        global chosen
        chosen = device

def core(word):
    return "cpu" if isinstance(word, str) and word.startswith("npu:") else word

def on_cores(make):
    def made(*words, **named):
        words = [core(word) for word in words]
        if "device" in named:
            named["device"] = "cpu"
        return make(*words, **named)
    return made

torch.npu = Cards
torch.device = str
torch.empty = on_cores(torch.empty)
torch.Tensor.to = on_cores(torch.Tensor.to)
"""


DTYPES = {"fp16": "float16", "fp32": "float32"}


@pytest.fixture(autouse=True)
def family(monkeypatch) -> Iterator[str]:
    """Marks every process that a test starts; none may outlive it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("FAMILY", mark)
    yield mark
    assert gone(mark, 5), alive(mark)


@pytest.fixture
def planted(tmp_path) -> Callable[..., str]:
    """An interpreter whose torch goes wrong as `after(out)` says."""

    def make(after: str = "pass", more: str = "") -> str:
        body = f"def after(out):\n{textwrap.indent(after, '    ')}\n"
        package = tmp_path / "plant" / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(PLANT + body + more + END)
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} "$@"\n')
        path.chmod(0o755)
        return str(path)

    return make


def burn(python: str = sys.executable, *, start_s: str = START_S, **params: object) -> Observation:
    knobs = {"device": "cpu", "size": 128, "seconds": 0.3, "python": python} | params
    what = stage("gpu_burn", engine="torch", **knobs)
    return Burning(asked(what, swap={START_S: start_s}), sys.executable).join()


def sound(seen: Observation) -> Burn:
    fact = fact_of(seen)
    assert isinstance(fact, Burn)
    return fact


@TORCH
def test_sound_cores_give_a_rate_and_a_digest_and_keep_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = burn(precision="bf16")
    assert list(tmp_path.iterdir()) == []
    fact = sound(seen)
    assert fact.part == "cpu"
    assert fact.engine.startswith("PyTorch ")
    assert fact.engine.endswith(" cpu")
    assert (fact.errors, fact.precision, fact.rate_unit) == (0, "bf16", "tflop_s")
    products = int(fact.detail.split()[0])
    assert fact.amount == pytest.approx(products * 2 * 128**3, rel=1e-4)
    # The products alone are timed, so they go faster than all of it, but for other load.
    assert 0.05 * fact.amount / fact.seconds / 1e12 < fact.rate < 50
    assert [len(word) for word in fact.digest.split()] == [64] + [8] * 16
    assert statuses(seen) <= CLEAN


@TORCH
@pytest.mark.skipif(not OLD, reason="needs Python 3.6")
def test_a_node_whose_own_python_is_old_goes_on_in_one_that_has_torch():
    what = stage(
        "gpu_burn", engine="torch", device="cpu", size=128, seconds=0.2, python=sys.executable
    )
    assert sound(Burning(asked(what), str(OLD[0])).join()).errors == 0


@TORCH
def test_the_result_is_exact_in_single_precision_whatever_the_order(planted):
    """The digest of fp32 is that of arithmetic in whole numbers."""
    import hashlib

    import torch

    generator = torch.Generator("cpu")
    generator.manual_seed(SEED)
    left, right = (
        torch.randint(-127, 128, (128, 128), generator=generator, dtype=torch.int8).long()
        for _ in range(2)
    )
    exact = ((left @ right).double() / 128**2).to(torch.float32)
    wanted = hashlib.sha256(exact.numpy().tobytes()).hexdigest()
    threads = "torch.set_num_threads = lambda _n, real=torch.set_num_threads: real(1)"
    told = [burn(precision="fp32"), burn(planted("pass", threads), precision="fp32")]
    assert [sound(seen).digest.split()[0] for seen in told] == [wanted, wanted]


@TORCH
def test_a_bit_that_flips_once_fails_and_its_tile_is_named(planted):
    seen = burn(
        planted("calls == 5 and flip(out, 40, 100)"), seconds=1.0
    )  # five, also on a busy core
    fact = sound(seen)
    assert fact.errors == 1
    # Row 40 of 128 is in the second row of tiles, column 100 in the last column.
    assert "product 4: 1 numbers differ from the first product, the first in tile 7 of 16" in (
        fact.detail
    )
    assert "fail" in statuses(seen)


@TORCH
def test_a_part_that_is_always_wrong_in_one_tile_has_an_odd_digest_there(planted):
    good = sound(burn()).digest.split()
    seen = burn(planted("flip(out, 40, 100)"))
    bad = sound(seen).digest.split()
    assert [at for at in range(17) if good[at] != bad[at]] == [0, 8]


@TORCH
@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("out.fill_(float('nan'))", "of the first differ from exact arithmetic"),
        ("calls > 1 and out.fill_(float('nan'))", "differ from the first product"),
    ],
    ids=["nan", "nan later"],
)
def test_a_result_that_cannot_be_right_never_passes(planted, after, says):
    seen = burn(planted(after))
    fact = sound(seen)
    products = int(fact.detail.split()[0])
    assert fact.errors == products - (0 if "first differ" in says else 1)
    assert says in fact.detail
    assert "fail" in statuses(seen)


@TORCH
def test_a_product_that_is_not_computed_is_not_taken_for_the_last_one(planted):
    skipping = "mm = lambda left, right, out: calls_of(out) == 1 and real(left, right, out=out)"
    count = "held = []\ndef calls_of(out):\n    held.append(1)\n    return len(held)\n"
    seen = burn(planted("pass", count + skipping))
    assert sound(seen).errors > 0
    assert "fail" in statuses(seen)


@TORCH
def test_every_card_burns_at_once_and_the_bad_one_is_named(planted):
    python = planted("chosen == 'npu:1' and calls == 3 and flip(out, 0, 0)", CARDS)
    seen = burn(python, device="auto")
    assert not seen.troubles
    assert [fact.part for fact in seen.facts] == ["npu0", "npu1", "npu2"]
    assert [fact.errors for fact in seen.facts] == [0, 1, 0]
    assert len({fact.digest for fact in seen.facts}) == 1
    assert "tile 0 of 16" in seen.facts[1].detail


@TORCH
@pytest.mark.parametrize(
    ("device", "module", "part", "precision"),
    [("musa", "torch_musa", "gpu", "fp16"), ("supa", "torch_br", "gpu", "fp32")],
)
def test_a_makers_module_is_loaded_and_its_cards_found(  # noqa: PLR0917 - a row and fixtures
    planted, tmp_path, device, module, part, precision
):
    """Nothing but the module tells torch of these cards; without the import there are none."""
    made = f"WANTED = torch.{DTYPES[precision]}\nsys.path.append({str(tmp_path)!r})"
    python = planted("assert out.dtype == WANTED", made)
    (tmp_path / f"{module}.py").write_text(
        "import torch\nchosen = 'cpu'\n" + CARDS.replace("npu", device)
    )
    seen = burn(python, device="auto", precision=precision, seconds=0.1)
    assert not seen.troubles
    assert [fact.part for fact in seen.facts] == [f"{part}{number}" for number in range(3)]
    assert {(fact.precision, fact.errors) for fact in seen.facts} == {(precision, 0)}
    assert all(fact.engine.endswith(f" {device}") for fact in seen.facts)


@TORCH
def test_a_makers_module_that_cannot_be_imported_is_told(planted, tmp_path):
    python = planted(more=f"sys.path.append({str(tmp_path)!r})")
    (tmp_path / "torch_mlu.py").write_text("raise ImportError('libcnrt.so: no such file')")
    seen = burn(python, device="mlu")
    assert not seen.facts
    assert "libcnrt.so" in seen.troubles[0].detail


@TORCH
@pytest.mark.parametrize("ending", ["os._exit(0)", "raise OSError('lost')"])
def test_a_card_that_falls_off_is_named_and_the_others_are_kept(planted, ending):
    python = planted(f"if chosen == 'npu:2' and calls == 3:\n    {ending}", CARDS)
    seen = burn(python, device="npu")
    assert [fact.part for fact in seen.facts] == ["npu0", "npu1"]
    assert [(trouble.kind, trouble.part) for trouble in seen.troubles] == [(Kind.EXIT, "npu2")]
    assert "unknown" in statuses(seen)


@TORCH
def test_a_card_that_hangs_costs_itself_only(planted):
    python = planted("if chosen == 'npu:0' and calls == 3:\n    time.sleep(600)", CARDS)
    seen = burn(python, device="npu", start_s="6")
    assert [fact.part for fact in seen.facts] == ["npu1", "npu2"]
    assert [trouble.part for trouble in seen.troubles] == ["npu0"]


@TORCH
def test_no_accelerator_is_unknown_and_not_the_cores_instead():
    seen = burn(device="npu")
    assert not seen.facts
    assert [trouble.kind for trouble in seen.troubles] == [Kind.MISSING]
    assert statuses(seen) == {"unknown"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('#!/bin/sh\ncase $2 in *u.find_spec*) exit 1;; esac\nexec "$REAL" "$@"', Kind.MISSING),
        ("#!/bin/sh\nexit 0", Kind.EXIT),
        ('#!/bin/sh\ncase $2 in *u.find_spec*) exit 0;; esac\nexec "$REAL" -S "$@"', Kind.EXIT),
    ],
    ids=["without", "mute", "broken"],
)
def test_a_python_that_cannot_is_unknown(tmp_path, monkeypatch, body, kind):
    monkeypatch.setenv("REAL", sys.executable)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    path = tmp_path / "python"
    path.write_text(body + "\n")
    path.chmod(0o755)
    seen = burn(str(path))
    assert not seen.facts
    assert [trouble.kind for trouble in seen.troubles] == [kind]
    assert statuses(seen) == {"unknown"}


@pytest.mark.parametrize("knob", [{"precision": "fp12"}, {"size": 65536}, {"size": 8}])
def test_a_knob_that_cannot_be_is_refused_before_anything_runs(knob):
    with pytest.raises(UserError, match=f"gpu_burn: {next(iter(knob))}: "):
        build("book.yml", {"name": "book", "stages": [{"gpu_burn": {"engine": "torch", **knob}}]})


@TORCH
def test_power_steps_compare_every_product_and_give_a_digest(planted):
    knobs = {"engine": "torch", "device": "npu", "size": 128, "seconds": 1.6, "period_s": 0.5}
    python = planted("chosen == 'npu:1' and calls == 4 and flip(out, 0, 0)", CARDS)
    what = stage("power_step", python=python, **knobs)
    seen = Burning(asked(what, swap={"30.0": "6.0"}), sys.executable).join()
    assert not seen.troubles
    assert [(fact.part, fact.errors) for fact in seen.facts] == [
        ("npu0", 0),
        ("npu1", 1),
        ("npu2", 0),
    ]
    assert all(2 <= fact.amount <= 4 for fact in seen.facts)
    assert len({fact.digest for fact in seen.facts}) == 1
