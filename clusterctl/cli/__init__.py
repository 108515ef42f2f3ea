"""The verbs, one file each: parse flags, build the real world, call, render, exit code."""

from __future__ import annotations

import errno
import gc
import os
import re
import sys
from types import TracebackType
from typing import Annotated, Any

import typer

from clusterctl.cli.ack import ack
from clusterctl.cli.bandwidth import bandwidth
from clusterctl.cli.bundle import bundle
from clusterctl.cli.burnin import burnin
from clusterctl.cli.diff import diff
from clusterctl.cli.drain import drain
from clusterctl.cli.exec import execute
from clusterctl.cli.explain import explain
from clusterctl.cli.fabric import fabric
from clusterctl.cli.golden import golden
from clusterctl.cli.history import history
from clusterctl.cli.install_timer import install_timer
from clusterctl.cli.judge import judge
from clusterctl.cli.listing import listing
from clusterctl.cli.localise import localise, plan_rounds
from clusterctl.cli.nodes import nodes
from clusterctl.cli.prune import prune
from clusterctl.cli.read import read
from clusterctl.cli.screen import tell
from clusterctl.cli.show import show
from clusterctl.cli.status import status
from clusterctl.cli.sweep import sweep
from clusterctl.cli.switches import switches
from clusterctl.cli.trend import trend
from clusterctl.cli.triage import triage
from clusterctl.cli.undrain import undrain
from clusterctl.cli.watch import stop, watch
from clusterctl.cli.watch_job import watch_job
from clusterctl.model import UserError
from clusterctl.spelling import visible

VALIDATOR = re.compile(r"Value error, ")
NOT_ONE = re.compile(r"'([^']*)' is not one of ('.*')\.?")
EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 2, 70, 130
# Of a write into what is open already: no room, or what is behind it is gone.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
LINE = 4000  # characters of a line of an error: with paths and lists of names

app = typer.Typer(
    help="Ask every node of an AI cluster the same questions; print one honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit: 0 all pass, 1 something fails, 2 usage, 3 no node selected, 4 something is "
    "unknown, 70 our bug, 130 interrupted.",
)


def told_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"clusterctl {version('clusterctl')}\n")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=told_version, help="Say which this is."),
    ] = False,
) -> None:
    """Of no verb."""


app.command()(nodes)
app.command()(sweep)
app.command()(burnin)
app.command()(ack)
app.add_typer(golden, name="golden")
app.command()(bandwidth)
app.command()(watch)
app.command()(stop)
app.command()(drain)
app.command()(undrain)
app.command()(status)
app.command()(fabric)
app.command()(switches)
app.command()(localise)
app.command("plan-rounds")(plan_rounds)
app.command()(triage)
app.command()(watch_job)
app.command()(show)
app.command()(judge)
app.command()(history)
app.command()(diff)
app.command()(trend)
app.command()(prune)
app.command("exec")(execute)
app.command("install-timer")(install_timer)
app.command()(bundle)
app.command("list")(listing)
app.command()(read)
app.command()(explain)


# click's, which newer typers carry inside and older ones beside them
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Never a traceback for the operator's mistake; always exit 70 with one for ours."""
    open_streams()
    collect_rarely()
    command = typer.main.get_command(app)
    # Not `app()`: it would turn a closed pipe into exit 1 and a mistyped word into a box.
    with LastWords():
        words = sys.argv[1:] or ["--help"]
        with command.make_context("clusterctl", words) as context:
            command.invoke(context)


def collect_rarely() -> None:
    """A large run keeps millions of facts and no circles: looking for some took a third of it."""
    gc.set_threshold(50_000, 20, 20)


def open_streams() -> None:
    """A closed one (`>&-`) is None here, and the next socket or file would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)


class LastWords:
    """Turns what ends the program into one line and the documented exit code."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            error = error.__context__  # rich would have it that this is exit 1: something fails
        if error is None or isinstance(error, SystemExit | typer.Exit):
            error = stuck() or error
        match error:
            case None | SystemExit():
                return
            case typer.Exit():
                sys.exit(error.exit_code if sys.argv[1:] else EXIT_USAGE)
            case UsageError():
                sys.stderr.write(f"clusterctl: {mistake(error)}\n")
                sys.exit(EXIT_USAGE)
            case UserError():
                # A node's words may be in it.
                lines = (visible(line, LINE) for line in str(error).split("\n"))
                tell("clusterctl: " + "\n".join(lines) + "\n")
                sys.exit(EXIT_USAGE)
            case KeyboardInterrupt():
                sys.exit(EXIT_INTERRUPTED)
            case BrokenPipeError():
                give_up_stdout()
                sys.exit(EXIT_INTERRUPTED)
            case OSError(errno=number, filename=None) if number in FULL:
                give_up_stdout()
                tell(f"clusterctl: {error.strerror}: what it printed or kept is not whole\n")
                sys.exit(EXIT_USAGE)
        import traceback

        traceback.print_exception(kind, error, trace)
        tell("clusterctl: this is our bug; please report it with the lines above\n")
        sys.exit(EXIT_BUG)


def stuck() -> OSError | None:
    """Why stdout does not take what was left for the end, where the interpreter would say 120."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def give_up_stdout() -> None:
    """What is left goes nowhere, and the interpreter's end has nothing to complain of."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def mistake(error: Any) -> str:
    """One line of what click has to say."""
    where = error.ctx.command_path if error.ctx else "clusterctl"
    told = VALIDATOR.sub("", " ".join(error.format_message().split()))
    if slip := NOT_ONE.search(told):
        from difflib import get_close_matches

        near = get_close_matches(slip[1].lower(), re.findall(r"'([^']*)'", slip[2]), n=1)
        told = f"{told.rstrip('.')}; did you mean {near[0]!r}?" if near else told
    return f"{told} See `{where} --help`."
