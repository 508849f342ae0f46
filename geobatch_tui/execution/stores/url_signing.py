"""Objects whose URLs are signed by a function of the user, late: when they are asked for.

A plan, a ledger and a message know the bare URL. A signature lives in memory only, and when the
store refuses it, it is made anew, once for a request: that is no attempt at a chunk.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import threading
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from geobatch_tui.errors import AuthExpiredError, InvalidInputError, SourceNotFoundError
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.execution.stores.store_client import StoreClient
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from geobatch_tui.execution.stores.object_url import ObjectUrl
    from geobatch_tui.execution.stores.store_client import Version
    from geobatch_tui.execution.stores.store_settings import StoreSettings

#: Signatures that are kept; of more, the oldest go.
_MOST = 10_000
#: Statuses of a store that refuses a signature.
_FORBIDDEN = frozenset({401, 403})


class SignedClient(StoreClient):
    """A store whose objects are read by signed URLs; used by many threads."""

    def __init__(
        self, root: str, settings: StoreSettings, proxy: tuple[str, str], use: str
    ) -> None:
        super().__init__(root, settings, proxy)
        self._use, self._proxy = use, proxy
        # The signature is the credential: no other goes to where it leads.
        self._bare = replace(settings, endpoint="", access_key="", secret_key="", token="")
        self._bases: dict[str, str] = {}
        self._signing = threading.Lock()

    def version(self, url: ObjectUrl) -> Version:
        return self._asked(url, lambda client: client.version(url))

    def read(
        self, url: ObjectUrl, start: int, end: int, wanted: Version | None
    ) -> tuple[bytes, Version]:
        return self._asked(url, lambda client: client.read(url, start, end, wanted))

    def stream(self, url: ObjectUrl, wanted: Version) -> Iterator[bytes]:
        self.version(url)  # which signs it anew if it has to
        yield from self._client(url).stream(url, wanted)

    def _asked[T](self, url: ObjectUrl, call: Callable[[StoreClient], T]) -> T:
        """Make a request; once more with a new signature where the store refuses this one."""
        base = self._base(url)
        try:
            return call(_client(base, self._bare, self._proxy))
        except AuthExpiredError:
            pass
        except SourceNotFoundError as error:
            if error.evidence.get("status") not in _FORBIDDEN:
                raise
        with self._signing:  # another thread may have it anew already
            if self._bases.get(str(url)) == base:
                del self._bases[str(url)]
        return call(self._client(url))

    def _client(self, url: ObjectUrl) -> StoreClient:
        return _client(self._base(url), self._bare, self._proxy)

    def _base(self, url: ObjectUrl) -> str:
        text = str(url)
        with self._signing:
            if text not in self._bases:
                self._bases[text] = self._signed(url)
                while len(self._bases) > _MOST:
                    del self._bases[next(iter(self._bases))]
            return self._bases[text]

    def _signed(self, url: ObjectUrl) -> str:
        """Have the URL signed, and return it without the key, which the client puts behind."""
        told = f"{safe(self._use)} could not sign {shown(str(url))}"
        try:
            parts = urlsplit(_function(self._use)(str(url)))
            path = unquote(parts.path)
        except Exception as error:  # noqa: BLE001 - boundary: code of the user
            # What it says may hold a secret.
            raise InvalidInputError(f"{told}: {type(error).__name__}") from None
        if parts.scheme not in {"https", "http"} or not path.endswith(f"/{url.key}"):
            raise InvalidInputError(f"{told}: what it returns is no URL of that object")
        folder = path.removesuffix(url.key)
        return f"{parts.scheme}://{parts.netloc}{folder}?{parts.query}"


@lru_cache(maxsize=8)
def _function(use: str) -> Callable[[str], str]:
    """Load a function: of a file, under a name of its own, or of an installed module."""
    place, _, name = use.rpartition(":")
    if not place.endswith(".py"):
        found: Callable[[str], str] = getattr(importlib.import_module(place), name)
        return found
    digest = hashlib.blake2b(place.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    spec: Any = importlib.util.spec_from_file_location(f"geobatch_sign_{digest}", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _client(base: str, settings: StoreSettings, proxy: tuple[str, str]) -> StoreClient:
    return StoreClient(base, settings, proxy)


@lru_cache(maxsize=64)
def signed_client(
    root: str, settings: StoreSettings, proxy: tuple[str, str], use: str
) -> SignedClient:
    """Return this process's client of a store whose URLs ``use`` signs."""
    return SignedClient(root, settings, proxy, use)
