"""Takes alerts to a webhook and a program. What fails is a line in the log: it costs no run.

The program is started without a shell, and the event reaches it as JSON: no word of a run becomes
part of a command.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from geobatch_tui.errors import NotifyError
from geobatch_tui.execution.stores.object_url import is_link_local
from geobatch_tui.observability.alert import said
from geobatch_tui.observability.redact import ENV_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage
    from typing import IO

    from geobatch_tui.config.notify.notify_section import NotifySection
    from geobatch_tui.observability.alert import Alert

TRIES: Final = 3
TIMEOUT: Final = 10.0
_WAITS: Final = (0.5, 2.0)
#: Seconds that the end of a run waits for alerts that are on their way.
GRACE: Final = 30.0
_COMMAND_SECONDS: Final = 30.0
_LAST_WORDS: Final = 200
#: Variables with the event and its fields, for a program that reads no JSON.
_PREFIX: Final = "GEOBATCH_EVENT"


@dataclass(frozen=True, slots=True)
class Ways:
    """Where alerts go, with the secrets of the environment.

    Attributes:
        webhook, token: a URL, and what goes with it; empty: none.
        command: words of a program; empty: none.
    """

    webhook: str = ""
    token: str = ""
    command: tuple[str, ...] = ()

    @classmethod
    def of(cls, section: NotifySection, environ: Mapping[str, str]) -> Ways:
        """Look up what the section names. Raises NotifyError where a variable is not set, or holds
        no URL."""
        webhook = _looked_up(section.webhook, environ)
        if webhook and (not webhook.startswith(("https://", "http://")) or "@" in webhook):
            raise NotifyError("notify.webhook: the variable holds no http or https URL")
        try:
            words = tuple(shlex.split(section.command))
        except ValueError as error:
            raise NotifyError(f"notify.command: {error}") from None
        return cls(webhook, _looked_up(section.token, environ), words)

    def calls(self) -> dict[str, Callable[[Alert], None]]:
        """Return what takes an alert there, by the name of the way."""
        found: dict[str, Callable[[Alert], None]] = {}
        if self.webhook:
            found["webhook"] = partial(post, self.webhook, self.token)
        if self.command:
            found["command"] = partial(start, self.command)
        return found


def _looked_up(value: str, environ: Mapping[str, str]) -> str:
    reference = ENV_REFERENCE.fullmatch(value)
    if reference is None:
        return value
    if not (found := environ.get(reference[1], "")):
        raise NotifyError(f"the variable {reference[1]} is not set")
    return found


class Messenger:
    """Takes alerts along all ways, each in a thread of its own.

    Args:
        ways: where they go.
        failed: called on the loop with a sentence when one did not arrive.
    """

    def __init__(self, ways: Ways, failed: Callable[[str], None]) -> None:
        self._calls = ways.calls()
        self._failed = failed
        self._under_way: set[asyncio.Task[None]] = set()

    def take(self, alert: Alert) -> None:
        """Send an alert; returns at once."""
        for name, call in self._calls.items():
            task = asyncio.ensure_future(self._deliver(name, call, alert))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, name: str, call: Callable[[Alert], None], alert: Alert) -> None:
        try:
            await asyncio.to_thread(call, alert)
        except NotifyError as error:
            self._failed(f"the {name} was not told of {alert.event}: {error.message}")

    async def close(self) -> None:
        """Wait for what is on its way, but not for long."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=GRACE)
            for _ in late:
                self._failed("an alert was still on its way when the run ended")


def post(url: str, token: str, alert: Alert) -> None:
    """Send an alert to a webhook, and again if that fails for now. Raises NotifyError."""
    import http.client
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    if is_link_local(host):
        raise NotifyError(f"{said(host)} is an address of this machine's own link")

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        """A URL that moved is the user's to write."""

        def redirect_request(
            self, req: object, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> None:
            del req, fp, code, msg, headers, newurl

    body = json.dumps(alert.to_json()).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "geobatch"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(NoRedirect)
    for wait in (*_WAITS[: TRIES - 1], None):
        try:
            request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
            opener.open(request, timeout=TIMEOUT).close()
        except urllib.error.HTTPError as error:
            error.close()
            reason, again = f"{host} answered {error.code}", error.code == 429 or error.code >= 500
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = str(getattr(error, "reason", "") or error) or type(error).__name__
            reason, again = f"{host}: {text}", not isinstance(error, ValueError)
        else:
            return
        if wait is None or not again:
            raise NotifyError(said(reason))
        time.sleep(wait)


def start(words: tuple[str, ...], alert: Alert) -> None:
    """Run a program with an alert as JSON on stdin and in variables. Raises NotifyError."""
    event = json.dumps(alert.to_json())
    told = {_PREFIX: event, f"{_PREFIX}_NAME": alert.event, f"{_PREFIX}_TITLE": alert.title}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own words, and no shell
            words,
            input=f"{event}\n".encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **told, f"{_PREFIX}_TEXT": alert.text},
            timeout=_COMMAND_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotifyError(f"{said(words[0])} took longer than {_COMMAND_SECONDS:.0f} s") from None
    except (OSError, ValueError) as error:
        raise NotifyError(said(f"{words[0]}: {error}")) from None
    if done.returncode:
        with contextlib.suppress(UnicodeError):
            last = done.stderr.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise NotifyError(said(f"{words[0]} ended with {done.returncode}: {last}"))
