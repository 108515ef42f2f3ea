"""The sweep's systemd units and its crontab line, as text.  Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterctl.model import UserError

NAME = "clusterctl-sweep"
OURS = "# Written by `clusterctl install-timer`; written again it is replaced, so edit elsewhere."
CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
SLACK_S = 300  # for reading the last run, judging and writing, beside the budget


@dataclass(frozen=True, slots=True)
class Plan:
    """What is swept, when, and which folders that writes to.

    `here`: this very machine is among the nodes, so the sweep must see its devices and its log.
    """

    command: tuple[str, ...]
    at: str
    budget_s: float
    jitter_s: float
    writes: tuple[Path, ...]
    here: bool = False


def clock(text: str) -> tuple[int, int]:
    """Raises UserError."""
    found = CLOCK.fullmatch(text)
    if not found:
        raise UserError(f"--at: {text!r}: not a time of day: write 02:00")
    return int(found[1]), int(found[2])


def quoted(word: str) -> str:
    """For ExecStart=, where % and $ mean something also within quotes (systemd.service(5))."""
    safe = word.replace("%", "%%").replace("$", "$$")
    if PLAIN.fullmatch(word):
        return safe
    if "\n" in word:
        raise UserError(f"{word!r}: a line break cannot stand in a unit")
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def path_word(path: Path) -> str:
    return quoted(str(path)).replace("$$", "$")


def service(plan: Plan, *, user: bool) -> str:
    """It may read everything, write where its runs go, and be the last to get a core or a disk.

    1 and 4 say what was found; the unit has not failed then.
    """
    network = [] if user else ["Wants=network-online.target", "After=network-online.target"]
    place = "%h/.config/clusterctl" if user else "/etc/clusterctl"
    return "\n".join(
        [
            OURS,
            "[Unit]",
            "Description=Look at every node of the cluster, touch nothing",
            *network,
            "",
            "[Service]",
            "Type=oneshot",
            f"ExecStart={' '.join(map(quoted, plan.command))}",
            f"EnvironmentFile=-{place}/environment",
            "SuccessExitStatus=1 4",
            f"TimeoutStartSec={int(plan.budget_s + SLACK_S)}",
            "Nice=10",
            "IOSchedulingClass=idle",
            "CPUWeight=20",
            "UMask=0022",
            "NoNewPrivileges=yes",
            *([] if user else walls(plan)),
            "",
        ]
    )


def walls(plan: Plan) -> list[str]:
    """Around a service of the system; a user's manager cannot build them before systemd 255."""
    writes = " ".join(path_word(path) for path in plan.writes)
    found = ["ProtectSystem=strict", f"ReadWritePaths={writes}"]
    if not any(word.startswith(("/tmp/", "/var/tmp/")) for word in plan.command):  # noqa: S108
        found.append("PrivateTmp=yes")  # it would hide what the command names
    return found + ([] if plan.here else list(REMOTE_ONLY))


# Whoever only talks to other machines needs nothing of this one.
REMOTE_ONLY = (
    "ProtectHome=read-only",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
)


def timer(plan: Plan) -> str:
    hour, minute = clock(plan.at)
    return "\n".join(
        [
            OURS,
            "[Unit]",
            "Description=Sweep the cluster every night",
            "",
            "[Timer]",
            f"OnCalendar=*-*-* {hour:02}:{minute:02}:00",
            f"RandomizedDelaySec={int(plan.jitter_s)}",
            "FixedRandomDelay=yes",
            "Persistent=yes",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def cron_line(plan: Plan, *, user: str = "", jitter: str = "") -> str:
    """`user`: for a file of /etc/cron.d, which names one.  cron takes % for a line break."""
    hour, minute = clock(plan.at)
    words = [*plan.command, *(["--jitter", jitter] if jitter else [])]
    command = shlex.join(words).replace("%", "\\%")
    if "\n" in command:
        raise UserError("a line break cannot stand in a crontab")
    return " ".join(filter(None, [f"{minute} {hour} * * *", user, command]))


def cron_file(plan: Plan, *, jitter: str) -> str:
    return f"{OURS}\nSHELL=/bin/sh\n{cron_line(plan, user='root', jitter=jitter)}\n"


def command(program: str, words: Sequence[str]) -> tuple[str, ...]:
    return (program, "sweep", *words, "--quiet")
