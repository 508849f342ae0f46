"""Settings of stores: where they are, and which variables hold their secrets.

They hold for what runs in a context: a worker's process, or the engine's run of one job.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores import object_url
from geobatch_tui.observability.redact import ENV_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Settings that hold a secret, by reference in a job file.
SECRETS = ("access_key", "secret_key", "token")
#: Variables that name a proxy, the first that is set; they may hold a password, so workers, who do
#: not get such variables, are told by their pipe.
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
#: Directory of the copies of a run, in its state.
OBJECTS = "objects"
#: Ports of credentials in a cloud, of names where answers are long.
_COMMON = (80, 443, 53)
#: Endings of the names of objects that belong to the one named before.
_BESIDE = re.compile(r"\.(?:msk|aux\.xml)\Z")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of one store; empty: as the environment and the cloud's own chain say.

    ``access_key``, ``secret_key`` and ``token`` are references, ``env:NAME``, until
    :meth:`Stores.resolved`. ``timeout``: seconds for one request. ``sidecars``: whether to look for
    objects that belong to another, as a mask does, beside it.
    """

    endpoint: str = ""
    region: str = ""
    account: str = ""
    anonymous: bool = False
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    timeout: float = 60.0
    sidecars: bool = True


@dataclass(frozen=True, slots=True)
class Stores:
    """Settings by the root of a store, as ``s3://bucket`` or ``https://host``; ``scratch`` is a
    directory for copies of objects (empty: one for temporary files), ``proxy`` the URL of a proxy
    and ``no_proxy`` the hosts that are asked without it; ``signers`` are functions that sign the
    URLs of a store, by its root. ``signed`` has the queries of URLs that were given with one, by
    the URLs without: they are credentials, and stand nowhere else."""

    by_root: Mapping[str, StoreSettings] = field(default_factory=dict)
    scratch: str = ""
    proxy: str = field(default="", repr=False)
    no_proxy: str = ""
    signers: Mapping[str, str] = field(default_factory=dict)
    signed: dict[str, str] = field(default_factory=dict, repr=False)

    def query_of(self, url: str) -> str:
        """Return the query that signs requests for an object, or for what belongs to it."""
        if not self.signed:
            return ""
        return self.signed.get(url) or self.signed.get(_BESIDE.sub("", url), "")

    def of(self, root: str) -> StoreSettings:
        return self.by_root.get(root, StoreSettings())

    def resolved(self, environ: Mapping[str, str]) -> Stores:
        """Put the values of variables in the place of their names. Raises PreflightError if one is
        not set."""
        found = {}
        for root, settings in self.by_root.items():
            values: dict[str, Any] = {}
            for name in SECRETS:
                reference = ENV_REFERENCE.fullmatch(getattr(settings, name))
                if reference is None:
                    continue
                value = environ.get(reference[1], "")
                if not value:
                    raise PreflightError(
                        f'storage."{root}".{name} names the variable {reference[1]}, which is not '
                        "set",
                        hint="set it in the environment of this command",
                    )
                values[name] = value
            found[root] = replace(settings, **values)
        named = {name.upper(): value for name, value in environ.items()}
        proxy = next(filter(None, (named.get(name, "") for name in PROXIES)), "")
        return replace(self, by_root=found, proxy=proxy, no_proxy=named.get("NO_PROXY", ""))

    def ports(self, urls: Iterable[str]) -> tuple[int, ...]:
        """List the ports that a worker has to reach to read ``urls``; none if there is none."""
        roots = {"://".join(object_url.split(url)[:2]) for url in urls if object_url.is_url(url)}
        if not roots:
            return ()
        places = [*roots, *(self.of(root).endpoint for root in roots), self.proxy]
        return tuple(sorted({*_COMMON, *filter(None, map(_port, places))}))


def _port(place: str) -> int | None:
    try:
        return urlsplit(place if re.match(r"[a-z0-9+]+://", place) else f"//{place}").port
    except ValueError:
        return None


_current: ContextVar[Stores] = ContextVar("stores", default=Stores())  # noqa: B039 - never changed


def use(stores: Stores) -> None:
    """Let ``stores`` hold in this context from here on."""
    _current.set(stores)


def sign(url: str, query: str) -> None:
    """Remember the query of a URL, in this context: with it requests are signed."""
    current().signed[url] = query


def current() -> Stores:
    """Return the settings that hold here."""
    return _current.get()
