"""clusterctl install-timer: the nightly sweep as a systemd timer or a crontab line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import tell
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.report.timer_units import Plan

VERIFY_S = 30.0


def install_timer(
    *,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = None,
    at: Annotated[str, typer.Option("--at", help="When, every day, by this host's clock.")] = (
        "02:00"
    ),
    budget: options.Budget = "20m",
    jitter: options.Jitter = "5m",
    prometheus: options.Metrics = None,
    notify: options.Notify = None,
    runs_dir: options.RunsDir = None,
    ssh_config: options.SshConfig = None,
    user: Annotated[
        bool, typer.Option("--user", help="For you, not the system: ~/.config/systemd/user.")
    ] = False,
    crontab: Annotated[
        bool, typer.Option("--crontab", help="A crontab line instead of systemd units.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write what is shown.")] = False,
    _lang: Lang = None,
) -> None:
    """Show the timer of a nightly sweep; with --yes, write it."""
    from clusterctl.cli import cron
    from clusterctl.cli.outlets import opened
    from clusterctl.cli.start import passive
    from clusterctl.cli.world import Flags, is_here, runs, targets
    from clusterctl.limits import check_labels
    from clusterctl.playbook import skus
    from clusterctl.report import timer_units

    if not inventory:
        raise UserError("install-timer: of which nodes? give -i INVENTORY")
    book = passive(playbook or "nightly")
    nodes = targets(Flags(inventory, "", "", None, accept_new=False), book.select)
    check_labels(nodes, skus())
    folder = runs(runs_dir).absolute()
    opened(folder, prometheus=prometheus, notify=notify, dry_run=False, lang=None)
    given = {
        "-i": inventory, "-p": playbook, "--runs-dir": folder, "--budget": budget,
        "--prometheus": prometheus, "--notify": notify, "-F": ssh_config,
    }  # fmt: skip
    plan = timer_units.Plan(
        timer_units.command(program(), words(given)),
        at,
        cron.span("--budget", budget),
        cron.span("--jitter", jitter) if jitter else 0.0,
        (folder, *((prometheus.absolute().parent,) if prometheus else ())),
        here=any(map(is_here, nodes)),
    )
    if crontab and user:
        show_line(timer_units.cron_line(plan, jitter=jitter), yes=yes)
    wanted = files(plan, user=user, crontab=crontab, jitter=jitter)
    for path, text in wanted.items():
        sys.stdout.write(f"--- {path}\n{text}\n")
    refuse_foreign(wanted)
    if not crontab:
        verify(wanted)
    if not yes:
        tell("nothing was written; --yes writes it\n")
        raise typer.Exit(0)
    write(wanted, folder)
    tell(next_steps(user=user, crontab=crontab))


def words(given: Mapping[str, object]) -> list[str]:
    """Flags as the unit has them; paths are whole, for nobody knows where it starts."""
    found = []
    for flag, value in given.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None or one == "":
                continue
            is_file = isinstance(one, Path) or (flag == "-p" and Path(str(one)).is_file())
            found += [flag, str(Path(str(one)).absolute()) if is_file else str(one)]
    return found


def program() -> str:
    """Where we are, as a unit must name it."""
    here = Path(sys.argv[0]).absolute()
    beside = Path(sys.executable).parent / "clusterctl"
    found = here if here.name == "clusterctl" and os.access(here, os.X_OK) else beside
    if os.access(found, os.X_OK):
        return str(found)
    elsewhere = shutil.which("clusterctl")
    if elsewhere is None:
        raise UserError("install-timer: there is no clusterctl on the PATH: pip install it")
    return elsewhere


def files(plan: Plan, *, user: bool, crontab: bool, jitter: str) -> dict[Path, str]:
    from clusterctl.report import timer_units

    if crontab:
        return {Path("/etc/cron.d") / timer_units.NAME: timer_units.cron_file(plan, jitter=jitter)}
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"
    folder = home if user else Path("/etc/systemd/system")
    return {
        folder / f"{timer_units.NAME}.service": timer_units.service(plan, user=user),
        folder / f"{timer_units.NAME}.timer": timer_units.timer(plan),
    }


def show_line(line: str, *, yes: bool) -> None:
    """A person's own crontab is edited by that person alone: two hands in it lose lines."""
    sys.stdout.write(f"{line}\n")
    if yes:
        raise UserError("--crontab --user: put this line in with `crontab -e`; nothing was written")
    tell("put this line in with `crontab -e`; nothing was written\n")
    raise typer.Exit(0)


def refuse_foreign(wanted: Mapping[Path, str]) -> None:
    """Raises UserError before anything is written."""
    from clusterctl.report.timer_units import OURS

    for path in wanted:
        try:
            there = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        if not there.startswith(OURS):
            raise UserError(f"{path}: somebody else wrote this: move it away first")


def verify(wanted: Mapping[Path, str]) -> None:
    """By systemd itself, where it is.  Raises UserError with what it says."""
    import subprocess
    import tempfile

    if shutil.which("systemd-analyze") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        drafts = [Path(folder) / path.name for path in wanted]
        for draft, text in zip(drafts, wanted.values(), strict=True):
            draft.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", *drafts],
                capture_output=True, text=True, timeout=VERIFY_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            tell(f"systemd-analyze verify: {error}; the units were not checked\n")
            return
    if done.returncode:
        said = " ".join(done.stderr.replace(f"{folder}/", "").split())
        raise UserError(f"systemd-analyze verify: {said}")


def write(wanted: Mapping[Path, str], folder: Path) -> None:
    from clusterctl.cli.finish import write_whole

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None


def next_steps(*, user: bool, crontab: bool) -> str:
    if crontab:
        return "written; cron reads it within a minute\n"
    ctl = "systemctl --user" if user else "systemctl"
    linger = "loginctl enable-linger  # or it runs only while you are logged in\n" if user else ""
    return (
        f"written; now:\n{ctl} daemon-reload\n{ctl} enable --now clusterctl-sweep.timer\n{linger}"
        f"{ctl} start clusterctl-sweep.service  # to try it at once\n"
    )
