"""``geobatch config``: the job as it is understood, and its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from geobatch_tui.cli import options, streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geobatch_tui.config.layers import LoadedJob

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
    job: options.JobFile = None,
    config: options.ConfigFile = None,
    set_: options.Overrides = None,
    as_json: options.AsJson = False,
) -> int:
    """Show each effective value with the layer that set it. Secrets are masked."""
    rows = list(effective(options.load(job, config, set_)))
    if as_json:
        streams.write_json({key: {"value": value, "origin": origin} for key, value, origin in rows})
        return 0
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value, origin in rows:
        table.add_row(
            streams.foreign(key),
            streams.foreign(toml_value(value)),
            streams.foreign(origin, style="dim" if origin == "default" else "cyan"),
        )
    streams.show(table)
    return 0


@app.command("check")
def check(
    job: options.JobFile = None,
    config: options.ConfigFile = None,
    set_: options.Overrides = None,
) -> int:
    """Check a job: exit 0 if it is right, else 2 with file, line and key of each error."""
    options.load(job, config, set_)
    path = job if job is not None else config
    streams.write(f"{streams.harmless(str(path))}: right")
    return 0


@app.command("schema")
def schema(
    operation: Annotated[
        str | None,
        typer.Option("--op", metavar="NAME", help="With the parameters of this operation only."),
    ] = None,
) -> int:
    """Print the JSON schema of the job file, for editors and checks."""
    from geobatch_tui.config.schema import json_schema

    streams.write_json(json_schema(operation))
    return 0


def effective(loaded: LoadedJob) -> Iterator[tuple[str, Any, str]]:
    """Dotted key, value (secrets masked) and origin of each setting, in the schema's order."""
    values = loaded.job.effective(redacted=True)
    for key, origin in loaded.origins.items():
        place: Any = values
        for part in key.split(".", 2):
            place = place[part]
        where = f" {origin.where}" if origin.where else ""
        yield key, place, f"{origin.layer}{where}"


def toml_value(value: Any) -> str:
    """A value as the job file would say it."""
    import tomli_w

    text = tomli_w.dumps({"v": value}) if not isinstance(value, dict) else ""
    return text.removeprefix("v = ").strip() or "{}"
