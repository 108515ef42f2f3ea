"""Table of the check that compares results by their digests."""

from __future__ import annotations

from dataclasses import replace

from rows import Row, row

from clusterctl.model import Accelerator, Burn

SOUND = f"bf16-512-7:{'ab' * 16}:{'0123' * 4}:{'4567' * 2}"
# One element, in the second band of rows and the second of columns.
ODD = f"bf16-512-7:{'ac' * 16}:0123ffff01230123:4567eeee"
OTHER_SEED = SOUND.replace("-7:", "-8:").replace("ab", "cd")
TORCH = "ab" * 32 + " 01234567" * 16
TORCH_ODD = "ac" * 32 + " 01234567" * 6 + " ffffffff" + " 01234567" * 9
GPU = Burn(
    "gpu0",
    "built-in CUDA",
    60.0,
    amount=1e15,
    unit="flop",
    rate=500.0,
    rate_unit="tflop_s",
    errors=0,
    precision="bf16",
    digest=SOUND,
)


def fleet(*digests: str, **more: object) -> dict[str, tuple[Burn]]:
    return {f"n{i}": (replace(GPU, digest=one, **more),) for i, one in enumerate(digests)}


def node(*digests: str) -> list[Burn]:
    return [replace(GPU, part=f"gpu{i}", digest=one) for i, one in enumerate(digests)]


SILENT_CORRUPTION = (
    Row("all agree", fleet(SOUND, SOUND, SOUND), {"n0 gpu0": "pass", "n2 gpu0": "pass"}),
    Row(
        "one of four nodes differs and is named with its tile",
        fleet(SOUND, SOUND, ODD, SOUND),
        {"n0 gpu0": "pass", "n2 gpu0": "fail"},
        says="rows 128-255, columns 256-511",
    ),
    row(
        "one of four in a node differs",
        *node(SOUND, ODD, SOUND, SOUND),
        expect={"gpu0": "pass", "gpu1": "fail"},
    ),
    Row(
        "a tile of another engine's digest is named too",
        fleet(TORCH, TORCH, TORCH_ODD, TORCH),
        {"n2 gpu0": "fail"},
        says="tile 1,2 of 4 x 4",
    ),
    Row(
        "two of three that agree do not convict",
        fleet(SOUND, SOUND, ODD),
        {"n0 gpu0": "unknown", "n1 gpu0": "unknown", "n2 gpu0": "unknown"},
    ),
    Row(
        "two that differ accuse each other",
        fleet(SOUND, ODD),
        {"n0 gpu0": "unknown", "n1 gpu0": "unknown"},
    ),
    Row(
        "no majority",
        fleet(SOUND, SOUND, SOUND, ODD, ODD, ODD),
        {f"n{i} gpu0": "unknown" for i in range(6)},
        says="3x abababababababab",
    ),
    row("alone there is nobody to compare with", GPU, expect={"gpu0": "skip"}),
    Row("two that agree are too few", fleet(SOUND, SOUND), {"n0 gpu0": "skip"}),
    row("no digest is not checked", replace(GPU, digest=""), expect={"gpu0": "unknown"}),
    Row(
        "no digest anywhere is not agreement",
        fleet("", "", "", ""),
        {f"n{i} gpu0": "unknown" for i in range(4)},
    ),
    Row(
        "one without a digest passes nothing and spoils nothing",
        fleet(SOUND, SOUND, SOUND, ""),
        {"n0 gpu0": "pass", "n3 gpu0": "unknown"},
    ),
    Row(
        "not a number is no digest, however many say it",
        fleet("nan", "nan", "nan", "nan"),
        {f"n{i} gpu0": "unknown" for i in range(4)},
    ),
    Row(
        "another seed is another question",
        fleet(SOUND, SOUND, SOUND, OTHER_SEED),
        {"n0 gpu0": "pass", "n3 gpu0": "skip"},
    ),
    Row(
        "another engine is another question",
        fleet(SOUND, SOUND, SOUND) | {"n3": fleet(TORCH, engine="PyTorch 2.4")["n0"]},
        {"n0 gpu0": "pass", "n3 gpu0": "skip"},
    ),
    Row(
        "another model is another question",
        {
            f"n{i}": (Accelerator("gpu0", model="H20" if i == 3 else "H100"), *burns)
            for i, burns in enumerate(fleet(SOUND, SOUND, SOUND, ODD).values())
        },
        {"n0 gpu0": "pass", "n3 gpu0": "skip"},
    ),
    row(
        "who differs from himself needs no peers",
        GPU,
        replace(GPU, digest=ODD),
        expect={"gpu0": "fail"},
        says="each time",
    ),
    Row(
        "who differs from himself has no vote",
        fleet(SOUND, SOUND, SOUND) | {"n3": (GPU, replace(GPU, digest=ODD))},
        {"n0 gpu0": "pass", "n3 gpu0": "fail"},
    ),
    row(
        "cores and memory have no digest to compare",
        Burn("cpu", "stress-ng", 60.0, errors=0),
        expect={"cpu": "skip"},
    ),
)
TABLES = {"silent_corruption": SILENT_CORRUPTION}
