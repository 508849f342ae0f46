"""``geobatch config``: shows and checks the job as it is understood, and its schema."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.observability.text import harmless

app = typer.Typer(
    help="The job file: effective values, errors, schema.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """Show the help when there is nothing else to do."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("show")
def show(
    job: shared_options.JobFile = None,
    config: shared_options.ConfigFile = None,
    set_: shared_options.Overrides = None,
    output: shared_options.Output = None,
    as_json: shared_options.AsJson = False,
) -> int:
    """Show each effective value with the layer that set it. Secrets are masked."""
    from geobatch_tui.config.loaded_job import rows

    effective = rows(shared_options.load(job, config, set_, {"output.dir": output}))
    if as_json:
        streams.write_json([row.to_json() for row in effective])
        return 0
    table = streams.pairs(no_wrap=True)
    table.add_column(overflow="fold")
    for row in effective:
        # As a job file could write it, on one line.
        value = "-" if row.value is None else json.dumps(row.value, ensure_ascii=False)
        origin = " ".join(filter(None, (row.layer, row.where)))
        table.add_row(
            streams.foreign(row.key),
            streams.foreign(value),
            streams.foreign(origin, style="dim" if row.layer == "default" else "cyan"),
        )
    streams.show(table)
    return 0


@app.command("check")
def check(
    job: shared_options.JobFile = None,
    config: shared_options.ConfigFile = None,
    set_: shared_options.Overrides = None,
    output: shared_options.Output = None,
) -> int:
    """Check a job: exit 0 if it is right, else 2 with file, line and key of each error."""
    shared_options.load(job, config, set_, {"output.dir": output})
    path = job if job is not None else config
    streams.write(f"{harmless(str(path))}: right")
    return 0


@app.command("schema")
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The same as --op.", show_default=False)
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option("--op", metavar="NAME", help="With the parameters of this operation only."),
    ] = None,
) -> int:
    """Print the JSON schema of the job file, for editors and checks."""
    from geobatch_tui.config.schema import json_schema

    streams.write_json(json_schema(operation or name))
    return 0
