"""The section ``[dask]``: the cluster that ``engine.executor = "dask"`` uses.

A cluster is named by the address of its scheduler, or it is started for the run: of processes on
this machine, by a batch system, by Kubernetes, or by a class that the job names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from geobatch_tui.config.sections import Count, Section
from geobatch_tui.config.setting_types import Duration
from geobatch_tui.execution.params.param_fields import operational

LOCAL: Final = "local"
#: Clusters that geobatch starts by a package for them.
BATCH: Final = ("slurm", "pbs", "lsf", "sge", "kubernetes")
_ADDRESS = r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"
_CLASS = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
_PLACE = f"^({LOCAL}|{'|'.join(BATCH)}|{_ADDRESS}|{_CLASS})$"
#: Limits of a lease, in seconds, and of Dask workers that a job starts.
_LEAST, _MOST, _CROWD = 0.1, 600.0, 100_000


def _cluster(text: str) -> str:
    place = text.lower() if text.lower() in {LOCAL, *BATCH} else text
    if re.fullmatch(_PLACE, place) is None:
        raise ValueError(
            f'must be "{LOCAL}", an address as "tcp://host:8786", {", ".join(BATCH)}, or a class '
            'as "package.module:ClusterClass"'
        )
    return place


ClusterPlace = Annotated[
    str, AfterValidator(_cluster), Field(json_schema_extra={"pattern": _PLACE})
]


class Range(BaseModel):
    """Limits of a cluster that grows and shrinks with its work."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    minimum: Annotated[int, Field(ge=0, le=_CROWD)] = 0
    maximum: Annotated[int, Field(ge=1, le=_CROWD)]

    @model_validator(mode="after")
    def _fits(self) -> Range:
        if self.minimum > self.maximum:
            raise ValueError("minimum must not be over maximum")
        return self


def _range(value: object) -> object:
    """Read "2..200" as the table that it stands for, which a key on one line cannot hold."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,6})\.\.(\d{1,6})", value)):
        return Range(minimum=int(found[1]), maximum=int(found[2]))
    if isinstance(value, bool) or not isinstance(value, int | Mapping | Range):
        raise ValueError("must be a number, or { minimum = 2, maximum = 200 }")  # noqa: TRY004
    return Range.model_validate(value) if isinstance(value, Mapping) else value


def _written(value: int | Range) -> int | str:
    return f"{value.minimum}..{value.maximum}" if isinstance(value, Range) else value


DaskWorkers = Annotated[
    Annotated[int, Field(ge=0, le=_CROWD)] | Range,
    BeforeValidator(_range),
    PlainSerializer(_written),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": _CROWD},
                {"type": "string", "pattern": r"^\d{1,6}\.\.\d{1,6}$"},
                {
                    "type": "object",
                    "properties": {
                        "minimum": {"type": "integer", "minimum": 0},
                        "maximum": {"type": "integer", "minimum": 1},
                    },
                    "required": ["maximum"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def _lease(seconds: float) -> float:
    if not _LEAST <= seconds <= _MOST:
        raise ValueError("must be 0.1 s to 10 min")
    return seconds


Lease = Annotated[Duration, AfterValidator(_lease)]
type _Option = str | int | float | bool | list[str] | dict[str, str | int | float | bool]


class DaskSection(Section):
    """The Dask cluster on whose nodes workers run, if engine.executor is dask."""

    cluster: ClusterPlace = operational(
        LOCAL,
        "Address of a scheduler, as tcp://host:8786 or tls://host:8786; or what is started for the "
        "run: local (processes on this machine), slurm, pbs, lsf, sge, kubernetes, or "
        "package.module:ClusterClass.",
    )
    workers: DaskWorkers = operational(
        0,
        "Dask workers of a cluster that is started; 0: one. { minimum = 2, maximum = 200 }, or "
        "2..200: as many as there is work for.",
        "workers",
    )
    processes: Annotated[Count, Field(le=1024)] = operational(
        0, "Worker processes on each node; 0: as many as its Dask worker has threads.", "workers"
    )
    lease: Lease = operational(
        "3s", "Work that a worker process gets at once, once it is known how long chunks take.", "s"
    )
    options: dict[str, _Option] = Field(
        default_factory=dict,
        description="What the class of a cluster that is started takes: queue, cores, memory, "
        "walltime and so on.",
        json_schema_extra={"unit": "", "kind": "operational"},
    )
    security: dict[Literal["ca_file", "cert", "key"], str] = Field(
        default_factory=dict,
        description="Files of TLS: ca_file, cert, key. Empty: as Dask's own configuration says.",
        json_schema_extra={"unit": "", "kind": "operational", "path": True},
    )

    @model_validator(mode="after")
    def _options_fit(self) -> DaskSection:
        if self.options and not self.is_started_by_class:
            raise ValueError(
                f"options: {next(iter(self.options))} is of a cluster that a class starts, as "
                f"slurm; {self.cluster} takes none"
            )
        given = {name for name, path in self.security.items() if path}
        if given and given != {"ca_file", "cert", "key"}:
            raise ValueError("security: TLS needs all of ca_file, cert and key")
        if given and self.cluster.startswith("tcp://"):
            raise ValueError("security: an address with TLS begins with tls://")
        return self

    @property
    def is_address(self) -> bool:
        """Whether the cluster is there already."""
        return "://" in self.cluster

    @property
    def is_started_by_class(self) -> bool:
        """Whether a class of some package starts it."""
        return self.cluster != LOCAL and not self.is_address

    @property
    def least(self) -> int:
        """Dask workers that a cluster starts with."""
        return max(self.workers.minimum if isinstance(self.workers, Range) else self.workers, 1)
