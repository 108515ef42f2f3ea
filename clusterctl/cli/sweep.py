"""clusterctl sweep: look at every node, touch nothing."""

from __future__ import annotations

import typer

from clusterctl.cli import acting, options
from clusterctl.cli.language import Lang
from clusterctl.model import UserError


def sweep(
    *,
    inventory: options.Inventory = None,
    playbook: options.PlaybookName = "nightly",
    nodes: options.Nodes = "",
    select: options.Select = "",
    form: options.RunFormat = options.Format.TABLE,
    output: options.Output = None,
    html: options.Page = None,
    runs_dir: options.RunsDir = None,
    at_once: options.AtOnce = None,
    accept_new: options.AcceptNew = False,
    ssh_config: options.SshConfig = None,
    quiet: options.Quiet = False,
    budget: options.Budget = "",
    jitter: options.Jitter = "",
    prometheus: options.Metrics = None,
    notify: options.Notify = None,
    notify_dry_run: options.NotifyDryRun = False,
    drain: acting.After = False,
    yes: acting.Yes = False,
    by: acting.Through = None,
    slurm_host: acting.SlurmHost = "",
    hook: acting.HookPath = None,
    hook_timeout: acting.HookTime = 60.0,
    context: acting.Context = "",
    kubeconfig: acting.Kubeconfig = None,
    verbose: options.Verbose = False,
    lang: Lang = None,
) -> None:
    """Look at every node and judge it; passive probes only, so jobs are not disturbed."""
    import sys

    from clusterctl.cli import cron, outlets
    from clusterctl.cli.drain import after_sweep
    from clusterctl.cli.finish import refuse_output, remembered, render
    from clusterctl.cli.start import carry_out
    from clusterctl.cli.world import Flags, runs

    refuse_output(output, html)
    way = acting.Way(by, slurm_host, hook, hook_timeout, context, kubeconfig)
    if yes and not drain:
        raise UserError("--yes: goes with --drain")
    way.refuse()
    folder = runs(runs_dir)
    out = outlets.opened(
        folder, prometheus=prometheus, notify=notify, dry_run=notify_dry_run, lang=lang
    )
    flags = Flags(
        inventory,
        nodes,
        select,
        at_once,
        accept_new,
        runs_dir=runs_dir,
        ssh_config=ssh_config,
    )
    terms = cron.terms(quiet=quiet, budget=budget, jitter=jitter)
    run = carry_out("sweep", playbook or "nightly", flags, terms)
    night = remembered(run, folder / run.id)
    worth = cron.worth_saying(run, night)
    asked = cron.tell(run, night, out, budget, worth=worth)
    code = render(
        run,
        form,
        output,
        verbose=verbose,
        page=html,
        folder=folder / run.id,
        lang=lang,
        night=night,
        silent=quiet and not worth,
    )
    code = 0 if quiet and not worth and asked else code
    if drain:
        file = sys.stdout if form is options.Format.TABLE and output is None else sys.stderr
        code = after_sweep(run, way, flags, code, acting.Telling(file, quiet=quiet), yes=yes)
    raise typer.Exit(code)
