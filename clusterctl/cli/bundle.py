"""clusterctl bundle: everything about one node for a vendor's ticket, in one archive."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.cli.screen import said, tell
from clusterctl.model import UserError

if TYPE_CHECKING:
    from clusterctl.cli.world import Flags
    from clusterctl.model import Node, Playbook, Run
    from clusterctl.support.archive import Bundle
    from clusterctl.support.collectors import Collector
    from clusterctl.transport.replay import Heard

NODE_S = 900.0
MOST_RUNS = 30


def bundle(
    node: Annotated[str, typer.Argument(help="One node, by its name.")],
    *,
    inventory: options.Inventory = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The archive.  [default: here, by name]")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an archive that is there.")
    ] = False,
    redact_addresses: Annotated[
        bool, typer.Option("--redact-addresses", help="IP and MAC addresses by alias, too.")
    ] = False,
    with_binaries: Annotated[
        bool, typer.Option("--with-binaries", help="Keep files that cannot be redacted.")
    ] = False,
    runs_dir: options.RunsDir = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    _lang: Lang = None,
) -> None:
    """Ask one node everything now, add its history, leave secrets out; one archive, mode 0600."""
    from clusterctl.cli import world as ambient
    from clusterctl.cli.finish import refuse_output
    from clusterctl.support.archive import Bundle
    from clusterctl.support.redact import Aliases

    ambient.logs()
    flags = ambient.Flags(
        inventory, node, "", None, accept_new, runs_dir=runs_dir, ssh_config=ssh_config
    )
    chosen = ambient.targets(flags)
    if len(chosen) != 1:
        raise UserError(f"{node}: is {len(chosen)} nodes; a bundle is about one")
    made = ambient.now()
    name = f"{chosen[0].name}-{made:%Y%m%dT%H%M%S}"
    path = output or Path(f"{name}.tar.gz")
    if path.is_file() and not force:
        raise UserError(f"-o {path}: is there already; --force writes over it")
    refuse_output(path)
    aliases = Aliases() if redact_addresses else None
    found = Bundle(name, made, aliases, binaries=with_binaries)
    gather(found, chosen[0], flags)
    about = {"node": chosen[0].name, "tool": "clusterctl bundle"}
    try:
        found.write(path, about, chosen[0].labels)
    except OSError as error:
        raise UserError(f"-o {path}: {error.strerror}; nothing was written") from None
    raise typer.Exit(told(found, path))


def gather(found: Bundle, node: Node, flags: Flags) -> None:
    from clusterctl.cli.world import runs, with_bmcs
    from clusterctl.playbook import load
    from clusterctl.support.answers import add
    from clusterctl.support.collectors import COLLECTORS

    book = with_bmcs(load("nightly"), [node])
    heard = ask(node, book, COLLECTORS, flags)
    by_name = {one.question.name: one for one in COLLECTORS}
    for one in heard:
        if one.trouble is not None:
            found.lack("the node", str(one.trouble))
        if one.answer is not None:
            add(found, one.answer, by_name.get(one.answer.name))
    judged = judge(book, node, heard)
    found.add_text("findings.json", "judged now, alone", spelled(judged, node.name))
    add_history(found, node.name, runs(flags.runs_dir))


def ask(node: Node, book: Playbook, collectors: tuple[Collector, ...], flags: Flags) -> list[Heard]:
    """All that the node says, or why it says no more, in one conversation."""
    from clusterctl.cli import world as ambient
    from clusterctl.cli.start import PASSIVE_NICE
    from clusterctl.spelling import visible
    from clusterctl.transport import TransportError
    from clusterctl.transport.replay import Recording

    heard: list[Heard] = []
    questions = [probe.question for probe in book.probes]
    questions += [one.question for one in collectors]
    with ExitStack() as closing:
        connect = ambient.reach(book.pace, flags, nice=PASSIVE_NICE, closing=closing)
        transport = Recording(connect(NODE_S), heard.append)
        try:
            with transport.open(node) as shell:
                for number, answer in enumerate(shell.ask(questions), 1):
                    going(f"{number} of {len(questions)}: {answer.name}")
        except TransportError as error:
            tell(f"clusterctl: {node.name}: {visible(str(error))}; the rest is bundled\n")
    going("")
    return heard


def going(line: str) -> None:
    """How far it is: a line that is written over, and only where somebody looks."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{said(line)}")
        sys.stderr.flush()


def judge(book: Playbook, node: Node, heard: list[Heard]) -> Run:
    from clusterctl.cli.world import now
    from clusterctl.playbook import skus
    from clusterctl.run import World, sweep
    from clusterctl.transport.replay import Replay

    one = replace(book, pace=replace(book.pace, at_once=1))
    world = World(lambda _reading, _s: Replay(heard), now, 0, "bundle", skus=skus())
    return sweep(one, [node], world)


def spelled(run: Run, node: str) -> str:
    import json

    from clusterctl.report.records import record

    told = [record(one) for one in run.findings if one.verdict.node == node]
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def add_history(found: Bundle, node: str, folder: Path) -> None:
    """What earlier runs said of the node that was not well; and the last answers, word for word."""
    import json

    from clusterctl import store
    from clusterctl.report.raw import answers
    from clusterctl.report.records import record

    paths = sorted((one.parent for one in folder.glob("*/run.json")), reverse=True)
    newest = True
    looked = 0
    for path in paths:
        if looked == MOST_RUNS:
            break
        try:
            run = store.stored(path)
            if node not in {one.name for one in run.nodes()}:
                continue
            looked += 1
            rows = [row for batch in store.batches(run, "findings") for row in batch.to_pylist()]
            told = [record(store.finding(row)) for row in rows
                    if row["node"] == node and row["status"] not in {"pass", "skip"}]  # fmt: skip
            lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in told)
            found.add_text(f"history/{run.id}.jsonl", f"run {run.id}", lines)
            if newest:
                newest = False
                found.add_text("last_answers.txt", f"run {run.id}", "".join(answers(run, node)))
        except (UserError, ValueError, KeyError) as error:
            found.lack(f"run {path.name}", str(error))
    if newest:
        found.lack("history", f"no run in {folder} has this node", absent=True)


def told(found: Bundle, path: Path) -> int:
    """The exit code; what is missing is said here, too, as nobody opens a manifest first."""
    failed = [one for one in found.missing if not one.absent]
    for one in failed:
        tell(f"missing: {one.source.partition(':')[0]}: {one.why}\n")
    gone = sum(one.redacted for one in found.entries)
    size = path.stat().st_size / 1024
    tell(
        f"{path}: {len(found.entries)} files, {size:.0f} KiB, {gone} secrets redacted, "
        f"{len(failed)} missing; MANIFEST.json says what\n",
        sys.stdout,
    )
    return 4 if failed else 0
