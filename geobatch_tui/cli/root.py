"""The command line's root: global options and the list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from geobatch_tui import __version__
from geobatch_tui.cli import console
from geobatch_tui.cli.commands import (
    config,
    dead_letters,
    demo,
    doctor,
    foreground,
    notify,
    ops,
    outputs,
    plan,
    retry,
    run,
    status,
    trial,
    watch,
)
from geobatch_tui.cli.display import streams

app = typer.Typer(
    name="geobatch",
    help="Long raster and vector jobs in chunks: resumable, with dead letters.",
    epilog="Exit codes: 0 done, 2 usage, 12 some dead letters, 13 locked, 15-17 resumable, "
    "130/143 drained. The README lists all.",
    no_args_is_help=False,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.")
    ] = False,
) -> None:
    """Without a command, in a terminal: the console, with earlier runs."""
    if show_version:
        typer.echo(f"geobatch {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is not None:
        return
    if console.wanted(tui=False):
        raise typer.Exit(console.home())
    typer.echo(context.get_help())
    streams.say("the console needs a terminal as stdin and stdout: there is none here")


_JOBS = "Jobs"
_RUNS = "Runs"
_MORE = "More"

app.command("run", rich_help_panel=_JOBS)(run.run)
app.command("plan", rich_help_panel=_JOBS)(plan.plan)
app.add_typer(config.app, name="config", rich_help_panel=_JOBS)
app.command("watch", rich_help_panel=_RUNS)(watch.watch)
app.command("wait", rich_help_panel=_RUNS)(watch.wait)
app.command("status", rich_help_panel=_RUNS)(status.status)
app.command("dead-letters", rich_help_panel=_RUNS)(dead_letters.dead_letters)
app.command("report", rich_help_panel=_RUNS)(status.report)
app.command("retry", rich_help_panel=_RUNS)(retry.retry)
app.command("outputs", rich_help_panel=_RUNS)(outputs.outputs)
app.command("verify", rich_help_panel=_RUNS)(outputs.verify)
app.command("repair", rich_help_panel=_RUNS)(outputs.repair)
app.command("ops", rich_help_panel=_MORE)(ops.ops)
app.command("doctor", rich_help_panel=_MORE)(doctor.doctor)
app.command("notify", rich_help_panel=_MORE)(notify.notify)
app.command("step", rich_help_panel=_MORE)(foreground.step)
app.command("demo", rich_help_panel=_MORE)(demo.demo)
app.command("trial", hidden=True)(trial.trial)
