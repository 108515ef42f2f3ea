"""The daemons an AI node stands on, and every unit that systemd itself calls failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clusterctl.model import Fact, Kind, Probe, Question, Service, Trouble
from clusterctl.spelling import Unreadable, count, visible

# Why each is asked for.  A unit that is not installed says so, and is then no fact.
UNITS = {
    "sshd.service": "the way in",
    "ssh.service": "the same, as Debian names it",
    "chronyd.service": "the clock",
    "chrony.service": "the same, as Debian names it",
    "ntpd.service": "the clock",
    "systemd-timesyncd.service": "the clock",
    "ptp4l.service": "the clock",
    "nvidia-fabricmanager.service": "without it no CUDA context on an NVSwitch machine",
    "nvidia-persistenced.service": "without it the driver unloads and counters start again",
    "nvidia-dcgm.service": "GPU health and job accounting",
    "nvidia-imex.service": "memory shared between nodes of a GB200 rack",
    "nvlsm.service": "NVLink 5's subnet manager",
    "openibd.service": "loads MLNX_OFED's drivers",
    "opensm.service": "the subnet manager, where a node runs one",
    "amd-metrics-exporter.service": "GPU health",
    "ascend-dmi.service": "NPU health",
    "slurmd.service": "takes jobs",
    "munge.service": "Slurm's authentication",
    "kubelet.service": "takes jobs",
    "containerd.service": "runs them",
    "docker.service": "runs them",
    "sssd.service": "users",
    "autofs.service": "home directories",
    "rpcbind.service": "NFS 3 locks",
    "gpfs.service": "storage",
    "lnet.service": "storage: Lustre's network",
    "beegfs-client.service": "storage",
    "rasdaemon.service": "keeps memory and PCIe errors over a reboot",
    "mcelog.service": "the same, before rasdaemon",
    "irqbalance.service": "moves the interrupts of a fast NIC",
    "tuned.service": "sets governor and sysctls again behind your back",
    "systemd-journald.service": "keeps the log we read",
}
PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts"
STATES = frozenset(
    {
        *("active", "reloading", "refreshing", "activating", "maintenance"),
        *("inactive", "failed", "deactivating"),
    }
)
ENABLED = {
    "enabled": True,
    "enabled-runtime": True,
    "disabled": False,
    "masked": False,
    "masked-runtime": False,
}  # static, alias, indirect, generated, … are neither
FAILED, END = "== failed", "== end"

# sd_booted(3): this folder is how to know that systemd runs here; 127 is "not installed".
COMMAND = f"""
[ -d /run/systemd/system ] || {{ echo 'systemd does not run here' >&2; exit 127; }}
systemctl --no-pager -p {PROPERTIES} show -- "$@" || exit
echo '{FAILED}'
systemctl --no-pager --no-legend --plain --full --state=failed list-units || exit
echo '{END}'
"""


def parse(stdout: str) -> Iterator[Fact | Trouble]:
    asked, failed_mark, rest = stdout.partition(f"{FAILED}\n")
    failed, end_mark, after = rest.partition(f"{END}\n")
    if not failed_mark or not end_mark or after:
        yield Trouble(Kind.CUT, f"no end mark: {visible(stdout[-80:])}")
    elif not asked.strip():  # a block comes for every unit asked about, for those not there too
        yield Trouble(Kind.CUT, "systemctl says nothing of any unit")
    blocks = asked.split("\n\n")
    seen: set[str] = set()
    for block in blocks if failed_mark else blocks[:-1]:  # the last one may be cut
        if block.strip():
            yield from unit(dict(line.partition("=")[::2] for line in block.split("\n")), seen)
    told = failed.split("\n")
    for line in told if end_mark else told[:-1]:
        yield from failure(line, seen)


def unit(told: Mapping[str, str], seen: set[str]) -> Iterator[Service | Trouble]:
    """One block of `systemctl show`.  Two names of one unit (sshd, ssh) come out once."""
    name, state, load = (told.get(key, "") for key in ("Id", "ActiveState", "LoadState"))
    part = visible(name.removesuffix(".service"), 120)
    if not name or not load or state not in STATES:
        why = f"not a unit: Id={name!r} LoadState={load!r} ActiveState={state!r}"
        yield Trouble(Kind.UNREADABLE, visible(why), part)
        return
    if load == "not-found" or name in seen:
        return
    seen.add(name)
    restarts = told.get("NRestarts", "")  # systemd 235 brought it
    try:
        yield Service(
            part,
            state,
            ENABLED.get(told.get("UnitFileState", "")),
            count(restarts) if restarts not in ("", "[not set]") else None,
        )
    except Unreadable as error:
        yield Trouble(Kind.UNREADABLE, f"NRestarts: {error}", part)


def failure(line: str, seen: set[str]) -> Iterator[Service | Trouble]:
    """foo.mount loaded failed failed The foo mount; systemd before 246 marks it with a dot."""
    cells = line.replace("\u25cf", " ", 1).split()
    if not cells:
        return
    if len(cells) < 4 or "failed" not in cells[2:4]:
        yield Trouble(Kind.UNREADABLE, f"not a failed unit: {visible(line)}")
    elif cells[0] not in seen:
        seen.add(cells[0])
        yield Service(visible(cells[0].removesuffix(".service"), 120), "failed")


PROBES = (
    Probe(
        Question("services", command=("sh", "-c", COMMAND, "services", *UNITS)),
        parse,
        yields=(Service,),
        about="State and restarts of the daemons an AI node stands on; every failed unit",
        optional=True,
        tool="systemd",
    ),
)
