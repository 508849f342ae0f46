"""The connection to a STAC API: pystac-client's, kept to one host, and with an end to each answer.

Loaded by a search alone: pystac-client is an extra.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from pystac_client.exceptions import APIError
from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from geobatch_tui.errors import GeobatchError, PreflightError
from geobatch_tui.execution.stores.object_url import shown, split
from geobatch_tui.observability.redact import redact
from geobatch_tui.observability.text import safe
from geobatch_tui.orchestration.plan.catalog.stac_json import parsed, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Bytes of the largest page, pages of the longest search, and items that one page is asked for.
LARGEST_PAGE, MOST_PAGES, PAGE = 64 << 20, 20_000, 250
#: Seconds to connect, between two pieces of an answer, and for all of it.
CONNECT, SILENCE, WHOLE = 10.0, 60.0, 300.0
#: Attempts at what passes, and the seconds before the first is repeated; those that a server asks
#: for count, up to the longest.
ATTEMPTS, PAUSE, LONGEST_PAUSE = 4, 1.0, 30.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PIECE = 1 << 16
_METHOD_REFUSED = 405


class BoundedApi(StacApiIO):
    """Asks one API, whose URL is ``root``; ``token`` is a bearer token, or empty."""

    def __init__(self, root: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(headers=headers, timeout=(CONNECT, SILENCE), max_retries=2)
        self.where = shown(root)
        self._host = split(root)[:2]
        self._seen: set[str] = set()

    def json_loads(self, txt: str, *args: object, **named: object) -> dict[str, Any]:
        """Parse an answer; a parser's own errors do not get out."""
        del args, named
        value = parsed(txt, self.where)
        if not isinstance(value, dict):
            raise refusal(self.where, "its answer is no object")
        return value

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return the text of an answer, tried again where the reason passes.

        Raises PreflightError for another host, for a request that was made before, for an answer
        without end; APIError for a status.
        """
        del headers  # an API's link may not choose them
        if split(href.partition("?")[0])[:2] != self._host:
            raise refusal(self.where, f"its next page is on another host: {shown(href)}")
        asked = json.dumps([method, href, parameters], sort_keys=True, default=str)
        if asked in self._seen or len(self._seen) > MOST_PAGES:
            raise refusal(self.where, "its pages do not end")
        self._seen.add(asked)
        status, text, pause = self._answer(method or "GET", href, parameters)
        for attempt in range(1, ATTEMPTS):
            if status not in _PASSING:
                break
            time.sleep(min(max(pause, PAUSE * 2**attempt), LONGEST_PAUSE))
            status, text, pause = self._answer(method or "GET", href, parameters)
        if status == 200:
            return text
        error = APIError(text)
        error.status_code = status
        raise error

    def _answer(
        self, method: str, href: str, parameters: Mapping[str, Any] | None
    ) -> tuple[int, str, float]:
        """Return status, text and the seconds that the server wants to be left alone."""
        post = method.upper() == "POST"
        with self.session.request(
            method.upper(),
            href,
            json=parameters if post else None,
            params=None if post else parameters,
            timeout=self.timeout,
            stream=True,
            allow_redirects=False,
        ) as answer:
            pieces, size, end = [], 0, time.monotonic() + WHOLE
            for piece in answer.iter_content(_PIECE):
                size += len(piece)
                pieces.append(piece)
                if size > LARGEST_PAGE or time.monotonic() > end:
                    raise refusal(self.where, f"an answer does not end after {size:,} bytes")
            pause = answer.headers.get("Retry-After", "")
            if 300 <= answer.status_code < 400:
                place = shown(answer.headers.get("Location", ""))
                raise refusal(self.where, f"it leads to {place}: give that URL, if you trust it")
        return answer.status_code, b"".join(pieces).decode("utf-8", "replace"), _seconds(pause)


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def pages(root: str, token: str, asked: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the pages of a search of the API at ``root``; ``asked``: as ItemSearch takes it.

    Raises:
        PreflightError: the API cannot be asked, or refuses.
    """
    where = shown(root)
    begun = False
    for method in ("POST", "GET"):
        api = BoundedApi(root, token)
        try:
            search = ItemSearch(
                url=f"{root.rstrip('/')}/search", method=method, stac_io=api, **asked
            )
            for page in search.pages_as_dicts():
                begun = True
                yield page
        except PreflightError:
            raise
        except APIError as error:
            if method == "POST" and error.status_code == _METHOD_REFUSED and not begun:
                continue
            raise _refused(where, error) from None
        except OSError as error:  # of requests: no connection, no certificate, no answer in time
            raise PreflightError(
                f"{where} cannot be asked: {safe(redact(type(error).__name__))}",
                hint="check the URL and the network",
            ) from None
        except GeobatchError as error:
            raise PreflightError(error.message, hint=error.hint) from None
        except Exception as error:  # noqa: BLE001 - boundary: of the client library
            told = f"its answer is no page of items ({type(error).__name__})"
            raise refusal(where, told) from None
        return


def _refused(where: str, error: APIError) -> PreflightError:
    status = error.status_code
    if status in {401, 403}:
        hint = 'name the variable of a token in [storage."https://host"]: token = "env:NAME"'
        return PreflightError(f"{where}: asking it is forbidden ({status})", hint=hint)
    if status == 404:
        told = f"{where}: there is no search there (404)"
        return PreflightError(told, hint="give the root of the API, as https://host/v1")
    said = safe(redact(str(error)), 300)
    return PreflightError(f"{where} answers {status}: {said}", hint="check what is searched for")
