"""Opens stores by the client library, obstore, which is loaded when the first is."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores.host_limits import MOST
from geobatch_tui.execution.stores.object_url import BUCKETS
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe

if TYPE_CHECKING:
    from geobatch_tui.execution.stores.store_settings import StoreSettings

#: Between attempts that the library makes again by itself.
_BACKOFF = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=2),
    "base": 2,
}


def library() -> Any:
    """Return the library. Raises PreflightError if it is not installed."""
    try:
        return importlib.import_module("obstore")
    except ImportError:
        raise PreflightError(
            "reading URLs needs the package obstore, which is not installed",
            hint='pip install "geobatch-tui[cloud]"',
        ) from None


def opened(
    root: str, settings: StoreSettings, proxy: tuple[str, str], query: str = "", *, retries: int = 0
) -> Any:
    """Open the store at ``root``. ``proxy``: its URL, and the hosts that are asked without it;
    ``query``: what signs the URLs of a server; ``retries``: attempts that the library makes again
    by itself. Raises PreflightError where the settings are not enough."""
    try:
        return _opened(root, settings, proxy, query, retries)
    except Exception as error:  # noqa: BLE001 - boundary: of the client library
        said = redact(safe(str(error).partition("\n")[0]))
        raise PreflightError(
            f"{root} cannot be opened: {said}",
            hint=f'see the keys of [storage."{root}"]: account (Azure), endpoint, region and more',
        ) from None


def _opened(
    root: str, settings: StoreSettings, proxy: tuple[str, str], query: str, retries: int
) -> Any:
    store: Any = importlib.import_module("obstore.store")
    scheme, _, host = root.partition("://")
    place = settings.endpoint or ("" if scheme in BUCKETS else root)
    client: dict[str, object] = {
        "timeout": timedelta(seconds=settings.timeout),
        "connect_timeout": timedelta(seconds=min(10.0, settings.timeout)),
        "allow_http": place.startswith("http://"),
        "pool_max_idle_per_host": str(MOST),
        **_given(proxy_url=proxy[0], proxy_excludes=proxy[1] if proxy[0] else ""),
    }
    if scheme not in BUCKETS and settings.token:
        client["default_headers"] = {"authorization": f"Bearer {settings.token}"}
    common = {
        "client_options": client,
        "retry_config": {
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=settings.timeout),
            "backoff": _BACKOFF,
        },
    }
    match scheme:
        case "s3":
            return store.S3Store(host, **_s3(settings), **common)
        case "gs":
            return store.GCSStore(host, **_google(settings), **common)
        case "az":
            return store.AzureStore(host, **_azure(settings), **common)
    # Keys are put behind the path of the URL, its query stays.
    return store.HTTPStore.from_url(f"{place}/?{query}" if query else place, **common)


def _s3(settings: StoreSettings) -> dict[str, object]:
    return _given(
        endpoint=settings.endpoint,
        region=settings.region,
        access_key_id=settings.access_key,
        secret_access_key=settings.secret_key,
        session_token=settings.token,
        skip_signature=settings.anonymous,
    )


def _google(settings: StoreSettings) -> dict[str, object]:
    return _given(base_url=settings.endpoint, skip_signature=settings.anonymous)


def _azure(settings: StoreSettings) -> dict[str, object]:
    return _given(
        endpoint=settings.endpoint,
        account_name=settings.account,
        account_key=settings.secret_key,
        bearer_token=settings.token,
        skip_signature=settings.anonymous,
    )


def _given(**values: object) -> dict[str, object]:
    """Return the settings that are set: the others are the environment's."""
    return {name: value for name, value in values.items() if value}
