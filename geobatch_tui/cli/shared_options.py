"""Options that several commands share, and the job that they load."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geobatch_tui.errors import ConfigError, UnsafeInputError
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geobatch_tui.config.layers import LoadedJob


def run_directory(text: str) -> Path:
    """Parse the place of a run's outputs: of a URL, the directory of its state here. Raises
    BadParameter for what is neither."""
    from geobatch_tui.config.paths import is_remote
    from geobatch_tui.execution.stores.output_prefix import is_prefix, local_place

    try:
        if not is_remote(text) or is_prefix(text):
            return local_place(text)
    except UnsafeInputError as error:
        raise typer.BadParameter(error.message) from error
    shown = safe(redact(text))
    raise typer.BadParameter(
        f"{shown} is no local directory or s3://bucket/prefix; give where the outputs of a run are"
    )


_of_job = partial(typer.Option, rich_help_panel="The job", show_default=False)
of_run = partial(typer.Option, rich_help_panel="How it runs", show_default=False)
of_result = partial(typer.Option, rich_help_panel="Result")

# No Path, which would make s3:/bucket of a URL in a pipeline.
JobFile = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB",
        help="Job file, TOML or YAML; the output directory of a run: its job; a .gdalg.json file; "
        "or a pipeline in GDAL's words: 'read a.tif ! hillshade ! write out'.",
        show_default=False,
    ),
]
RunDir = Annotated[
    Path,
    typer.Argument(
        parser=run_directory,
        metavar="DIR",
        help="Output directory of a run, or s3://bucket/prefix.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None, _of_job("--config", metavar="FILE", help="The job file, given as an option.")
]
Overrides = Annotated[
    list[str] | None,
    _of_job(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the job file, dotted: engine.max_workers=4. Repeatable; wins over "
        "the file and the environment.",
    ),
]
Crs = Annotated[str | None, _of_job(metavar="CRS", help="Destination CRS: op.dst_crs.")]
Workers = Annotated[
    int | None,
    _of_job(metavar="N", min=0, help="Workers: engine.max_workers. 0 is one for each core."),
]
# No Path, which would make s3:/bucket of a URL.
Output = Annotated[str | None, _of_job(metavar="DIR", help="Output directory: output.dir.")]
MaxFailures = Annotated[
    str | None,
    of_run(metavar="N|P%", help="Stop after this many dead letters: failures.max_failures."),
]
MaxDuration = Annotated[
    str | None,
    of_run(metavar="TIME", help="Drain and end, resumable, after this time: 90s, 30m, 6h."),
]
Headless = Annotated[bool, of_run("--headless", help="No console: lines on stderr.")]
Tui = Annotated[bool, of_run("--tui", help="The full-screen console.")]
AsJson = Annotated[bool, of_result("--json", help="The result as JSON.")]


def _is_pipeline(text: str) -> bool:
    """Whether an argument is a pipeline: one has several words, and their names take a moment to
    import."""
    if " " not in text.strip():
        return False
    from geobatch_tui.config.chains.pipeline import is_pipeline

    return is_pipeline(text)


def load(
    job_file: str | Path | None,
    config: Path | None = None,
    overrides: list[str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> LoadedJob:
    """Load the job with all its layers; of an output directory, the job that it was run with.

    Args:
        job_file: the argument of the command: a job file, the output directory of a run, or a
            pipeline.
        config: the same by option; exactly one of the two must be given.
        overrides: words of ``--set``.
        flags: values of short options by the dotted key that they set; None: not given.

    Raises:
        ConfigError: any of it is wrong, or there is not exactly one job file.
    """
    from geobatch_tui import load_job
    from geobatch_tui.execution.stores.output_prefix import is_prefix, local_place

    if job_file is None and config is None:
        raise ConfigError("no job file given", hint="geobatch run JOB.toml; see --help")
    if job_file is not None and config is not None and Path(job_file) != config:
        raise ConfigError(f"two job files given: {job_file} and {config}", hint="give one")
    if isinstance(job_file, str) and _is_pipeline(job_file):
        return load_job(None, pipeline=job_file, overrides=overrides or (), flags=flags)
    if isinstance(job_file, str) and is_prefix(job_file):
        job_file = local_place(job_file)
    path = Path(job_file) if job_file is not None else config
    if path is not None and path.is_dir():
        from geobatch_tui.orchestration.upkeep import load_kept

        return load_kept(path, overrides or (), flags)
    return load_job(path, overrides=overrides or (), flags=flags)
