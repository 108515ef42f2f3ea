"""Has Slurm given this node to a job: steps that run, job cgroups, and what squeue says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterctl.model import Fact, Kind, Probe, Question, Scheduler, Trouble
from clusterctl.spelling import visible
from clusterctl.sysfs import rows

PART = "slurm"
# slurmstepd sets its title: "slurmstepd: [1234.batch]", "[1234.extern]", "[1234+1.0]" of a het job
STEP = re.compile(r"slurmstepd: \[(\d+)(?:\+\d+)?\.[\w+]+\]")
CGROUP = re.compile(r"/job_(\d+)$")
# squeue's %i|%u|%T|%j; "1234_7|alice|RUNNING|train"
JOB = re.compile(r"(\d+(?:[_+][\d\[\]%,-]+)?)\|([^|]*)\|([A-Z_]+)\|(.*)")


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    """One Scheduler; only Troubles where a job may have gone unseen and none was seen."""
    jobs: dict[str, str] = {}
    troubles: list[Trouble] = []
    silent: Trouble | None = None  # squeue did not answer
    served = asked = False
    for row in rows(stdout):
        match row:
            case Trouble():
                troubles.append(row)
            case ("slurmd", _):
                served = True
            case ("asked", _):
                asked = True
            case ("lacking", "squeue"):
                pass
            case ("failed", "squeue", why):
                silent = Trouble(Kind.EXIT, visible(f"squeue: {why}"), "squeue")
            case ("step" | "cgroup" | "job" as kind, *cells) if found := job(kind, cells):
                known = jobs.get(found[0], "")
                jobs[found[0]] = max(known, found[1], key=len)  # squeue says whose it is, too
            case _:
                why = f"not a row: {visible(chr(9).join(row))}"
                troubles.append(Trouble(Kind.UNREADABLE, why, PART))
    if silent and served:  # without slurmd no job can run here
        troubles.append(silent)
    if jobs or not troubles:
        yield Scheduler(PART, served=served, jobs=tuple(jobs.values()), answered=asked)
    yield from troubles


def job(kind: str, cells: list[str]) -> tuple[str, str] | None:
    """(number, what to say of it); None: this names none."""
    text = cells[-1] if cells else ""
    if kind == "job":
        if whole := JOB.fullmatch(text):
            number, user, state, name = whole.groups()
            said = f"job {number} of {user} ({name}, {state.lower()})"
            return re.split(r"[_+]", number)[0], visible(said, 120)
        return None
    found = STEP.match(text) if kind == "step" else CGROUP.search(text)
    return (found[1], f"job {found[1]}") if found else None


WITHOUT_PYTHON = r"""
t=$(printf '\t') n=0 d=
row() { printf '%s\n' "$1"; n=$((n+1)); }
for p in /proc/[0-9]*; do
  c=; read -r c <"$p/comm" || continue
  case $c in
    slurmd) d=1;;
    slurmstepd) x=$(tr '\0\t\n' '   ' <"$p/cmdline")
      case $x in "slurmstepd: ["[0-9]*) row "step$t${p#/proc/}$t${x% }";; esac;;
  esac
done 2>/dev/null
h=$(hostname -s 2>/dev/null || uname -n)
[ -z "$d" ] || row "slurmd$t$h"
if command -v squeue >/dev/null; then
  if said=$(squeue -h -w "$h" -t RUNNING,SUSPENDED,STOPPED,CONFIGURING,COMPLETING \
      -o '%i|%u|%T|%j' 2>&1); then
    while read -r x; do [ -z "$x" ] || row "job$t$x"; done <<EOT
$said
EOT
    row "asked$t$h"
  else row "failed${t}squeue${t}exit $?: $(printf %s "$said" | tail -n 1 | tr '\t' ' ')"; fi
else row "lacking${t}squeue"; fi
printf 'end\t%s\n' "$n"
"""

PROBES = (
    Probe(
        Question(
            "slurm",
            script="ask_slurm",
            brief=True,
            without_python=("sh", "-c", WITHOUT_PYTHON),
            timeout_s=15.0,
        ),
        parse,
        yields=(Scheduler,),
        about="Whether Slurm has given the node to a job: slurmstepd, cgroups, squeue",
    ),
)
