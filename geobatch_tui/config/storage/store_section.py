"""The section ``[storage]``: settings of stores, a table for each, by bucket or host.

``[storage."s3://bucket"]`` in a job file is ``storage.stores`` in the schema. A secret is never a
value: the job file names the variable that holds it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from geobatch_tui.config import units
from geobatch_tui.config.sections import Section
from geobatch_tui.execution.params.param_fields import operational
from geobatch_tui.execution.stores.object_url import SCHEMES
from geobatch_tui.observability.redact import ENV_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The section in a job file, and the key of its tables in the schema.
STORAGE, STORES = "storage", "storage.stores"
_ROOT = re.compile(rf"({'|'.join(SCHEMES)})://[A-Za-z0-9._:\[\]-]+")


def _reference(text: str) -> str:
    if text and ENV_REFERENCE.fullmatch(text) is None:
        # The value is not shown: it may be the secret itself.
        raise ValueError(
            'must name a variable, as "env:MY_SECRET": a secret is never a value in a job file'
        )
    return text


def _endpoint(text: str) -> str:
    if text and re.fullmatch(r"https?://[^/?#@\s]+(?:/[^?#@\s]*)?", text) is None:
        raise ValueError('must be a URL without user or query, as "https://minio.example:9000"')
    return text.rstrip("/")


def _seconds(value: object) -> object:
    return units.parse_duration(value) if isinstance(value, str) else value


SecretReference = Annotated[
    str, AfterValidator(_reference), Field(json_schema_extra={"pattern": "^(env:[A-Za-z_]\\w*)?$"})
]


class StoreSection(Section):
    """One store: where it is, and as whom it is asked."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] = operational(
        "", "URL of the service, if it is not the cloud's own."
    )
    region: str = operational("", "Region of the bucket; empty: as the environment says.")
    account: str = operational("", "Account of an az:// container; empty: as the environment says.")
    anonymous: bool = operational(False, "Ask without credentials, as for public data.")
    sidecars: bool = operational(
        True,
        "Look for masks, .aux.xml and world files beside objects; false: there are none, which "
        "saves two requests an object; what lies there is not read.",
    )
    access_key: SecretReference = operational("", 'Variable of the key id, as "env:NAME".')
    secret_key: SecretReference = operational("", 'Variable of the secret key, as "env:NAME".')
    token: SecretReference = operational(
        "", 'Variable of a session or bearer token, as "env:NAME".'
    )
    timeout: Annotated[float, Field(gt=0, le=3600), BeforeValidator(_seconds)] = operational(
        60.0, "Longest time for one request, which is tried again.", "s"
    )


def written(stores: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Return tables of stores as a job file has them: without what is the default."""
    usual = StoreSection().model_dump()
    return {
        root: {name: value for name, value in table.items() if value != usual[name]}
        for root, table in stores.items()
    }


class StorageSection(Section):
    """Stores, by bucket (s3://, gs://, az://) or host (https://, http://)."""

    stores: dict[str, StoreSection] = Field(
        default_factory=dict,
        description="Settings of a store, a table for each: endpoint, region, anonymous, secrets "
        "by the names of variables.",
        json_schema_extra={"unit": "", "kind": "operational"},
    )

    @field_validator("stores")
    @classmethod
    def _are_roots(cls, stores: dict[str, StoreSection]) -> dict[str, StoreSection]:
        for root in stores:
            if _ROOT.fullmatch(root) is None:
                raise ValueError(
                    f'{root!r} is no store: give its bucket or host, as "s3://bucket" or '
                    '"https://host"'
                )
        return stores
