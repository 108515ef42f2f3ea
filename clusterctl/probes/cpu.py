"""Processors: how many are there and online, which model and microcode, how fast, how throttled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from clusterctl.model import Cpu, Fact, Kind, Probe, Question, Trouble
from clusterctl.spelling import Unreadable, count, number, visible
from clusterctl.sysfs import rows

# aarch64 names no model: (implementer, part) as util-linux's lscpu-arm.c and the manuals have them
ARM_CORES = {
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",  # NVIDIA Grace
    ("0x41", "0xd8e"): "Arm Neoverse-N3",
    ("0x48", "0xd01"): "HiSilicon TaiShan-v110",  # Kunpeng 920
    ("0x48", "0xd02"): "HiSilicon TaiShan-v120",
    ("0x48", "0xd06"): "HiSilicon TaiShan-v200",
    ("0x70", "0x662"): "Phytium FTC662",
    ("0x70", "0x663"): "Phytium FTC663",
    ("0x70", "0x664"): "Phytium FTC664",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}
MODEL_KEYS = ("model name", "Model Name", "cpu model", "cpu")  # x86, loongarch64, mips, ppc64
NAMES = frozenset(
    {
        *("processors", "mhz", "online", "present", "numa", "load", "machine", "sockets", "cores"),
        *("core_throttle", "package_throttle", "governor", "max_khz"),
    }
)
THROTTLES = ("core_throttle", "package_throttle")

Found = Mapping[str, Sequence[str]]
T = TypeVar("T")

WITHOUT_PYTHON = r"""
cd /sys/devices/system/cpu || exit
{
  printf 'processors\t%s\n' "$(grep -c '^processor' /proc/cpuinfo)"
  sed -n -e 's/^\(model name\)[[:space:]]*: /cpuinfo\t\1\t/p' \
    -e 's/^\(microcode\)[[:space:]]*: /cpuinfo\t\1\t/p' \
    -e 's/^\(Model Name\)[[:space:]]*: /cpuinfo\t\1\t/p' \
    -e 's/^\(CPU implementer\)[[:space:]]*: /cpuinfo\t\1\t/p' \
    -e 's/^\(CPU part\)[[:space:]]*: /cpuinfo\t\1\t/p' /proc/cpuinfo | sort -u
  for pair in online:online present:present numa:../node/online load:/proc/loadavg; do
    [ -r "${pair#*:}" ] && printf '%s\t%s\n' "${pair%%:*}" "$(cat "${pair#*:}")"
  done
  cat cpufreq/policy*/scaling_governor 2>/dev/null | sort -u | sed 's/^/governor\t/'
  printf 'machine\t%s\n' "$(uname -m)"
} | { n=0; while IFS= read -r line; do printf '%s\n' "$line"; n=$((n + 1)); done
      printf 'end\t%s\n' "$n"; }
"""


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    found: dict[str, list[str]] = {}
    for row in rows(stdout):
        match row:
            case Trouble():
                yield row
            case ("refused", what, why):
                yield Trouble(Kind.EXIT, visible(f"{what}: {why}"), "cpu")
            case ("cpuinfo", key, value) if value:
                found.setdefault(key, []).append(value)
            case (name, value) if name in NAMES and value:
                found.setdefault(name, []).append(value)
            case _:
                yield Trouble(Kind.UNREADABLE, f"not a row: {visible(chr(9).join(row))}", "cpu")
    if "processors" in found:
        try:
            yield summary(found)
        except Unreadable as error:
            yield Trouble(Kind.UNREADABLE, str(error), "cpu")


def summary(found: Found) -> Cpu:
    """Raises Unreadable.  Where sysfs lists no processors, those that cpuinfo counts are online."""
    throttles = [count(found[name][0]) for name in THROTTLES if name in found]
    fastest = [count(text) for text in found.get("max_khz", ())]
    return Cpu(
        "cpu",
        model_of(found),
        sockets=first(found, "sockets", count),
        cores=first(found, "cores", count),
        threads=first(found, "present", listed),
        online=first(found, "online", listed) or first(found, "processors", positive),
        numa_nodes=first(found, "numa", listed),
        mhz=first(found, "mhz", number),
        mhz_max=max(fastest) / 1000 if fastest else None,
        governor=joined(found, "governor"),
        microcode=joined(found, "microcode"),
        load1=first(found, "load", lambda text: number(text.split(" ")[0])),
        throttle_events=sum(throttles) if throttles else None,
    )


def first(found: Found, name: str, convert: Callable[[str], T]) -> T | None:
    """The first value of that name; None where the node has no such file."""
    return convert(found[name][0]) if name in found else None


def joined(found: Found, name: str) -> str | None:
    """Every distinct value: processors that differ from each other are a finding."""
    return ", ".join(sorted(visible(text, 80) for text in set(found.get(name, ())))) or None


def positive(text: str) -> int:
    value = count(text)
    if value == 0:
        raise Unreadable("no processor at all")
    return value


def listed(text: str) -> int:
    """How many 0-3,8,10-11 names.  Raises Unreadable."""
    total = 0
    for piece in text.strip().split(","):
        low, dash, high = piece.partition("-")
        span = count(high) - count(low) + 1 if dash else len([count(low)])
        if span < 1:
            raise Unreadable(f"not a list of numbers: {visible(text, 80)}")
        total += span
    return total


def model_of(found: Found) -> str:
    """Raises Unreadable where nothing names the processor."""
    for key in MODEL_KEYS:
        if key in found:
            return joined(found, key) or ""
    if "CPU implementer" in found and "CPU part" in found:
        maker, core = found["CPU implementer"][0], found["CPU part"][0]
        return ARM_CORES.get((maker, core), visible(f"aarch64 {maker}/{core}", 80))
    raise Unreadable("nothing names the processor's model")


PROBES = (
    Probe(
        Question(
            "cpu",
            script="ask_cpu",
            brief=True,
            without_python=("sh", "-c", WITHOUT_PYTHON),
            timeout_s=15.0,
        ),
        parse,
        yields=(Cpu,),
        about="Processor model, microcode, sockets, cores, clocks, governor, load, throttling",
    ),
)
