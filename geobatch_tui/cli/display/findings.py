"""Findings of ``geobatch doctor``: a line each, and the table of all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from geobatch_tui.cli.display import streams
from geobatch_tui.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geobatch_tui.execution.protocol.messages import Json

OK, WARN, BAD = "ok", "warn", "bad"
_MARKS = {OK: ("ok", "green"), WARN: ("note", "yellow"), BAD: ("wrong", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report: ``verdict`` is ok, warn or bad."""

    topic: str
    text: str
    verdict: str = OK


def report(facts: Json, findings: Sequence[Finding], *, as_json: bool) -> int:
    """Write the findings, with the ``facts`` behind them as JSON; return the exit code: whether
    something is wrong, so that runs would fail."""
    if as_json:
        streams.write_json({"facts": facts, "findings": list(map(asdict, findings))})
    else:
        _show(findings)
    broken = any(finding.verdict == BAD for finding in findings)
    return ExitCode.ENVIRONMENT if broken else ExitCode.OK


def _show(findings: Sequence[Finding]) -> None:
    """Write the table, a line for each finding; a topic that goes on is named once."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    topic = ""
    for finding in findings:
        mark, style = _MARKS[finding.verdict]
        shown = "" if finding.topic == topic else finding.topic
        topic = finding.topic
        table.add_row(streams.foreign(mark, style=style), shown, streams.foreign(finding.text))
    streams.show(table)
