"""A job as it was loaded: its values, and which layer set each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from geobatch_tui.config.fields import leaves
from geobatch_tui.config.schema import Job, dump_job

if TYPE_CHECKING:
    from pathlib import Path

    from geobatch_tui.config.sources import Layer, Origin
    from geobatch_tui.execution.protocol.messages import Json


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job, and the layer that set each of its values.

    Attributes:
        job: its paths are absolute.
        origins: for each dotted key, defaults included, who set it.
        path: the job file, None if there was none.
        redacted: keys whose values were masked when the job was kept, and that no layer has given
            since; a run must not start before they are given again.
    """

    job: Job
    origins: Mapping[str, Origin]
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()

    def effective_with_origins(self) -> dict[str, dict[str, object]]:
        """Return ``value`` (redacted), ``layer`` and ``where`` by dotted key, for the log."""
        values = flat(self.job.effective(redacted=True))
        return {
            key: {"value": values[key], "layer": origin.layer, "where": origin.where}
            for key, origin in self.origins.items()
        }

    def to_json(self) -> Json:
        """Return what ``plan.json`` keeps: redacted values, origins, and which keys were masked."""
        values, masked = dump_job(self.job), self.job.effective(redacted=True)
        plain, clean = flat(values), flat(masked)
        return {
            "job": masked,
            "origins": {key: [origin.layer, origin.where] for key, origin in self.origins.items()},
            "path": str(self.path) if self.path else None,
            "warnings": list(self.warnings),
            "redacted": sorted(key for key, value in plain.items() if clean[key] != value),
        }


def flat(values: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Return a nested job by dotted keys; names of a free table too, an empty table as itself."""
    flat: dict[str, object] = {}
    for section, keys in values.items():
        for name, value in keys.items():
            if isinstance(value, Mapping) and value:
                flat |= {f"{section}.{name}.{inner}": entry for inner, entry in value.items()}
            else:
                flat[f"{section}.{name}"] = value
    return flat


@dataclass(frozen=True, slots=True)
class Row:
    """An effective value, redacted, with the layer that set it and what the schema says of it."""

    key: str
    value: object
    layer: Layer
    where: str
    unit: str
    help: str
    kind: str

    def to_json(self) -> Json:
        return asdict(self)


def rows(loaded: LoadedJob) -> list[Row]:
    """List the values of a job in the order of the schema, a row for each name of a free table."""
    known = leaves(loaded.job.op.name)
    values = flat(loaded.job.effective(redacted=True))
    listed = []
    for key, value in values.items():
        leaf = known[key] if key in known else known[".".join(key.split(".")[:2])]
        origin = loaded.origins[key]
        listed.append(Row(key, value, origin.layer, origin.where, leaf.unit, leaf.help, leaf.kind))
    return listed
