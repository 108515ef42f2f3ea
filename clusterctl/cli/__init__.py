"""The verbs, one file each: parse flags, build the real world, call, render, exit code."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import typer

from clusterctl.cli.burnin import burnin
from clusterctl.cli.exec import execute
from clusterctl.cli.judge import judge
from clusterctl.cli.listing import listing
from clusterctl.cli.nodes import nodes
from clusterctl.cli.read import read
from clusterctl.cli.show import show
from clusterctl.cli.sweep import sweep
from clusterctl.model import UserError

EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 2, 70, 130

app = typer.Typer(
    help="Ask every node of an AI cluster the same questions; print one honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit: 0 all pass, 1 something fails, 2 usage, 3 no node selected, 4 something is "
    "unknown, 70 our bug, 130 interrupted.",
)
app.command()(nodes)
app.command()(sweep)
app.command()(burnin)
app.command()(show)
app.command()(judge)
app.command("exec")(execute)
app.command("list")(listing)
app.command()(read)


def main() -> None:
    """Never a traceback for the operator's mistake; always exit 70 with one for ours."""
    with LastWords():
        app()


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
        match error:
            case None | SystemExit():
                return
            case UserError():
                sys.stderr.write(f"clusterctl: {error}\n")
                sys.exit(EXIT_USAGE)
            case KeyboardInterrupt():
                sys.exit(EXIT_INTERRUPTED)
            case BrokenPipeError():
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(EXIT_INTERRUPTED)
        import traceback

        traceback.print_exception(kind, error, trace)
        sys.stderr.write("clusterctl: this is our bug; please report it with the lines above\n")
        sys.exit(EXIT_BUG)
