"""clusterctl burnin: load every node and say whether it may be accepted."""

from __future__ import annotations

from typing import Annotated

import typer

from clusterctl.cli import options
from clusterctl.cli.language import Lang
from clusterctl.model import UserError


def burnin(
    *,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "burnin-quick",
    nodes: options.Nodes = "",
    select: options.Select = "",
    form: options.RunFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Load nodes in use, too: by a process, by a job of Slurm."),
    ] = False,
    why: Annotated[str, typer.Option("--why", help="Why --force; it is recorded.")] = "",
    resume: Annotated[
        str | None,
        typer.Option("--resume", help="Go on with this campaign: id, start of an id, directory."),
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option(
            "--again",
            help="After repair: burn this node again; earlier runs that did not accept it, or one "
            "of its parts, raise the bar.  May be given again; --nodes adds partners.",
        ),
    ] = None,
    take_over: options.TakeOver = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Of a campaign: nodes that appear in the inventory join it, until it is stopped.",
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Of a campaign: start it, say where it is, return.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same pairs and data.")
    ] = None,
    verbose: options.Verbose = False,
    lang: Lang = None,
) -> None:
    """Load every node in stages; read counters before and after; one verdict a node."""
    from clusterctl.cli import campaigns
    from clusterctl.cli.finish import refuse_output, render
    from clusterctl.cli.start import carry_out
    from clusterctl.cli.world import Flags, paced
    from clusterctl.playbook import load

    refuse_output(output, html)
    if detach and (output or html or form is not options.Format.TABLE):
        raise UserError(
            "--detach: say -o, --html and --format to `clusterctl show` when it is over"
        )
    if force != bool(why.strip()):
        raise UserError('--force: say why, for the record: --force --why "…"; one needs the other')
    flags = Flags(
        inventory,
        nodes,
        select,
        at_once,
        accept_new,
        runs_dir=runs_dir,
        ssh_config=ssh_config,
        force=force,
        why=why,
        seed=seed,
        take_over=take_over,
        watch=watch,
        again=",".join(again or ()),
    )
    found = campaigns.find(runs_dir, resume) if resume else None
    if found is None:
        book = paced(load(playbook or "burnin-quick"), at_once)
        if book.soak is None:
            campaigns.refuse_words(book, detach=detach, watch=watch, again=again)
            run = carry_out("burnin", playbook or "burnin-quick", flags)
            raise typer.Exit(render(run, form, output, verbose=verbose, page=html, lang=lang))
        if watch and not inventory:
            raise UserError("--watch: needs a file to watch: -i INVENTORY")
        found = campaigns.find(None, str(campaigns.begin(book, flags, why)))
    if detach:
        more = [*(["--verbose"] if verbose else []), *(["--lang", lang] if lang else [])]
        campaigns.detach(found, flags, more)
        raise typer.Exit(0)
    run, resumable = campaigns.resume(found, flags)
    code = render(run, form, output, verbose=verbose, page=html, lang=lang, folder=found.path)
    raise typer.Exit(campaigns.interrupted(found) if resumable else code)
