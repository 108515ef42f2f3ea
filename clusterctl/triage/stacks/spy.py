"""py-spy for nodes that have none: the binary of our own installation, or of a folder given.

Binaries are told apart by their ELF header, not by their names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from clusterctl.model import Question, UserError
from clusterctl.triage.stacks.remedies import REFUSED

# e_machine of elf.h, as uname calls it
MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64", 258: "loongarch64", 21: "ppc64le"}
ELF, MACHINE_AT = b"\x7fELF", 18
STACKS = "stacks"
LOOK_S, TRIES = 8.0, 3  # of one py-spy, which takes 0.05 s where nothing is wrong, and how often
SLACK_S = 15.0
CAP_BYTES = 32 << 20


def machine_of(path: Path) -> str:
    """The architecture a binary is for; empty: it is no ELF file, or of one nobody knows."""
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError:
        return ""
    if len(head) < 20 or not head.startswith(ELF):
        return ""
    number = head[MACHINE_AT : MACHINE_AT + 2]
    return MACHINES.get(int.from_bytes(number, "big" if head[5] == 2 else "little"), "")


def binaries(folder: Path | None = None) -> dict[str, Path]:
    """py-spy by machine: of the folder, else our own.  Raises UserError where a folder has none."""
    found = {machine_of(path): path.resolve() for path in ours()}
    if folder is not None:
        given = {machine_of(path): path.resolve() for path in sorted(folder.glob("*"))}
        given.pop("", None)
        if not given:
            raise UserError(
                f"--py-spy-dir {folder}: no ELF binary in it; put py-spy of another architecture "
                "there, e.g. out of its wheel for aarch64"
            )
        found |= given
    found.pop("", None)
    return found


def ours() -> list[Path]:
    try:
        installed = distribution("py-spy").files or ()
    except PackageNotFoundError:
        return []
    paths = [Path(str(one.locate())) for one in installed if one.name == "py-spy"]
    return [path for path in paths if path.is_file()]


def question(
    wanted: Mapping[str, object],
    *,
    looks: int = 3,
    apart_s: float = 1.0,
    native: bool = False,
    program: Path | None = None,
) -> Question:
    """`wanted`: pids, slurm, pods, as look_at_job.  `program`: py-spy for that node, to send."""
    asked = {
        **wanted,
        "looks": looks,
        "apart_s": apart_s,
        "native": native,
        "look_s": LOOK_S,
        "tries": TRIES,
        "refused": REFUSED,
    }
    return Question(
        STACKS,
        (json.dumps(asked),),
        timeout_s=looks * apart_s + TRIES * LOOK_S + SLACK_S,
        script="dump_stacks",
        modules=("job_processes",),
        cap_bytes=CAP_BYTES,
        programs=(str(program),) if program else (),
    )
