"""A GPU node in a folder: the stub library, the stub nvidia-smi and the state that both read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pynvml

from clusterctl import remote
from clusterctl.model import Accelerator, Fact, Link, Trouble
from clusterctl.probes import nvidia_smi, nvml

STUBS = Path(__file__).parent / "lab/stubs"
SCRIPT = Path(remote.__file__).parent / "ask_nvml.py"
COMPILER = shutil.which("gcc") or shutil.which("cc")


@dataclass(frozen=True)
class Answered:
    exit_code: int | None  # None: stopped at the deadline
    stdout: str
    stderr: str
    facts: tuple[Fact, ...]
    troubles: tuple[Trouble, ...]

    def cards(self) -> dict[str, Accelerator]:
        return {fact.part: fact for fact in self.facts if isinstance(fact, Accelerator)}

    def links(self, card: str) -> dict[str, Link]:
        found = [fact for fact in self.facts if isinstance(fact, Link)]
        return {link.part: link for link in found if link.accelerator == card}

    def troubled(self) -> list[str]:
        return [trouble.part for trouble in self.troubles]


def build_library(folder: Path) -> None:
    library, source = folder / "libnvidia-ml.so.1", STUBS / "nvml.c"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([COMPILER, *flags, "-o", str(library), str(source)], check=True)


@dataclass(frozen=True)
class GpuNode:
    """`library`: where the stub was built; `state`: lines of the file it reads."""

    library: Path
    folder: Path

    def says(self, *lines: str) -> None:
        (self.folder / "nvml.conf").write_text("".join(f"{line}\n" for line in lines))

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{STUBS}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(self.library),
            "PYTHONPATH": str(Path(pynvml.__file__).parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CLUSTERCTL_NVML_STATE": str(self.folder / "nvml.conf"),
        }

    def run(self, *command: str, timeout_s: float = 30) -> tuple[int | None, str, str]:
        with subprocess.Popen(
            command,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                stdout, stderr = process.communicate()
                return None, stdout, stderr
        return process.returncode, stdout, stderr

    def nvml(self, python: str = sys.executable, timeout_s: float = 30) -> Answered:
        return answered(nvml, self.run(python, str(SCRIPT), timeout_s=timeout_s))

    def nvidia_smi(self, timeout_s: float = 30) -> Answered:
        (probe,) = nvidia_smi.PROBES
        return answered(nvidia_smi, self.run(*probe.question.command, timeout_s=timeout_s))


def answered(module, ran: tuple[int | None, str, str]) -> Answered:
    found = list(module.parse(ran[1]))
    troubles = tuple(item for item in found if isinstance(item, Trouble))
    return Answered(*ran, tuple(item for item in found if item not in troubles), troubles)
