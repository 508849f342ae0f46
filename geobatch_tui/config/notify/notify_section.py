"""The section ``[notify]``: when somebody is told of a run, and how.

No word of a run, and nothing that an output directory keeps, chooses a program or a place to send
to: the command and the URL are the user's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Strict

from geobatch_tui.config.notify.conditions import Condition, Matter
from geobatch_tui.config.problems import Problem
from geobatch_tui.config.sections import Section, SourceSection
from geobatch_tui.config.storage.store_section import SecretReference  # noqa: TC001
from geobatch_tui.execution.params.param_fields import operational
from geobatch_tui.observability.redact import ENV_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


#: What no record of a run may say: where to send to, and what to run.
OWN = ("notify.webhook", "notify.command")
_COMMAND = OWN[1]
_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:/[^\s#\"'<>\\]*)?"
)


def _conditions(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(Condition.parse(text)) for text in texts))


def _webhook(text: str) -> str:
    if text and ENV_REFERENCE.fullmatch(text) is None and _URL.fullmatch(text) is None:
        # The value is not shown: whoever has the URL of a webhook can write to it.
        raise ValueError(
            'must be an http or https URL without a user, or the name of a variable, "env:NAME"'
        )
    return text


Conditions = Annotated[
    tuple[str, ...],
    Strict(strict=False),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) and value else value or ()),
    AfterValidator(_conditions),
]


class NotifySection(Section):
    """When somebody is told of a run, and how; a way that fails costs the run nothing."""

    on: Conditions = operational(
        ("end",), 'On what: "end", "dead>10", "stall>60s", "disk<5GB"; empty: on nothing.'
    )
    bell: bool = operational(False, "Ring the bell of the terminal.")
    osc: Literal["auto", "9", "777", "off"] = operational(
        "auto", "Have the terminal show it, by OSC 9 or 777; auto: where it is known to."
    )
    title: bool = operational(True, "Show progress and dead letters in the terminal's title.")
    webhook: Annotated[str, AfterValidator(_webhook)] = operational(
        "", 'URL that gets the event as JSON by POST, or the variable that has it: "env:NAME".'
    )
    token: SecretReference = operational(
        "", 'Variable of a token for the webhook (Authorization: Bearer), as "env:NAME".'
    )
    command: str = operational(
        "",
        "Program, with its words, that gets the event as JSON on stdin and in GEOBATCH_EVENT. In a "
        "job file it needs source.allow_code.",
    )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What is told of."""
        return tuple(map(Condition.parse, self.on))

    @property
    def stall(self) -> float | None:
        """Seconds without a finished chunk from which the user calls it a stall."""
        limits = [each.limit for each in self.conditions if each.matter is Matter.STALL]
        return min(limits, default=None)


class _Job(Protocol):
    """A job, whose module knows this one."""

    @property
    def source(self) -> SourceSection: ...
    @property
    def notify(self) -> NotifySection: ...


class _Origin(Protocol):
    """The layer that set a value, and where."""

    @property
    def layer(self) -> str: ...
    @property
    def where(self) -> str: ...


def refused(job: _Job | None, origins: Mapping[str, _Origin]) -> Iterator[Problem]:
    """Yield a problem if a job file names a program, and does not say that it may."""
    origin = origins.get(_COMMAND)
    if job is None or origin is None or origin.layer != "file" or not job.notify.command:
        return
    if not job.source.allow_code:
        text = (
            f"{_COMMAND}: a job file runs no program; source.allow_code = true allows it, or give "
            "it by GEOBATCH_NOTIFY__COMMAND"
        )
        yield Problem(origin.where, _COMMAND, text)
