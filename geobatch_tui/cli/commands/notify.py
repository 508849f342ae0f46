"""``geobatch notify``: says how a job tells of its run, and tries it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from geobatch_tui.cli import shared_options
from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ExitCode, NotifyError
from geobatch_tui.observability.alert import Alert
from geobatch_tui.observability.terminal_signs import Signs, form_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.config.notify.notify_section import NotifySection

_TEST: Final = Alert("test", "geobatch: a test", "This is how a run will tell you.", 1)


def notify(
    job: shared_options.JobFile = None,
    config: shared_options.ConfigFile = None,
    set_: shared_options.Overrides = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test along every way, and say what arrived.")
    ] = False,
) -> int:
    """Show on what, and how, a job tells of its run; --test tries it.

    Without a job, what the environment says counts: GEOBATCH_NOTIFY__WEBHOOK and so on. The exit
    code is 1 if something did not arrive.
    """
    section = _section(job, config, set_)
    ways, problem = _ways(section)
    table = streams.pairs()
    table.add_row("on", streams.foreign(", ".join(section.on) or "nothing"))
    for name, text in _described(section).items():
        table.add_row(name, streams.foreign(text))
    if problem:
        table.add_row("problem", streams.foreign(problem, style="red"))
    streams.show(table)
    if not test:
        return ExitCode.RUNTIME if problem else ExitCode.OK
    return ExitCode.OK if _tried(section, ways) and not problem else ExitCode.RUNTIME


def _section(job: str | None, config: object, set_: list[str] | None) -> NotifySection:
    """Return the section of a job, or, without one, of the environment and the command line."""
    from pathlib import Path

    if job is not None or config is not None:
        path = config if isinstance(config, Path) else None
        return shared_options.load(job, path, set_).job.notify
    from geobatch_tui.config.layers import load_job

    # A job that is never run, around the section.
    rest = ["source.inputs=.", "op.name=raster.convert", "output.dir=."]
    return load_job(None, overrides=[*rest, *(set_ or ())]).job.notify


def _ways(section: NotifySection) -> tuple[dict[str, Callable[[Alert], None]], str]:
    from geobatch_tui.orchestration.side_tasks.messenger import Ways

    try:
        return Ways.of(section, os.environ).calls(), ""
    except NotifyError as error:
        return {}, error.message


def _described(section: NotifySection) -> dict[str, str]:
    form = form_of(section.osc, os.environ)
    auto = "this terminal is not known to show any" if section.osc == "auto" else "off"
    return {
        "bell": "yes" if section.bell else "no",
        "osc": form or auto,
        "title": "yes" if section.title else "no",
        "webhook": _place(section.webhook),
        "command": section.command.partition(" ")[0] or "none",
    }


def _place(webhook: str) -> str:
    """Return the host of a webhook: its path may be all that keeps others from writing there."""
    if not webhook or webhook.startswith("env:"):
        return webhook or "none"
    return webhook.split("/")[2]


def _tried(section: NotifySection, ways: dict[str, Callable[[Alert], None]]) -> bool:
    """Send a test along every way; return whether all of it arrived, as far as can be told."""
    from geobatch_tui.tui.kit.terminal import is_terminal

    arrived = True
    for name, call in ways.items():
        try:
            call(_TEST)
        except NotifyError as error:
            arrived = False
            streams.say(f"{name}: {error.message}")
        else:
            streams.say(f"{name}: arrived")
    signs = Signs.of(section.model_dump()).told(_TEST.title, _TEST.text, os.environ)
    if signs and is_terminal():
        streams.signal(signs)
        streams.say("terminal: sent")
    return arrived
