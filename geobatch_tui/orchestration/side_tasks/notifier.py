"""Tells of a run as its job asks: on its terminal, to a webhook, by a program; and notes it.

Terminals are others' to ring: they find the alerts in snapshots, or in the ledger's events.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

from geobatch_tui.config.notify.conditions import Matter
from geobatch_tui.ledger.schema import updates as lu
from geobatch_tui.observability.figures import duration
from geobatch_tui.orchestration.plan.machine import free_disk
from geobatch_tui.orchestration.side_tasks.alerts import Alerts

if TYPE_CHECKING:
    from collections.abc import Callable

    from geobatch_tui.observability.alert import Alert
    from geobatch_tui.observability.snapshot import Snapshot
    from geobatch_tui.orchestration.side_tasks.messenger import Messenger
    from geobatch_tui.orchestration.state.session import Session

#: The kind of the ledger's event of an alert.
ALERT: Final = "alert"
_KEPT: Final = 16


class Notifier:
    """Looks at a run, and tells of it.

    Args:
        session: its job says when and how; its log and ledger get the alerts, too.

    Attributes:
        told: the latest alerts.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._section = session.job.notify
        self._alerts = Alerts(self._section.conditions)
        self._messenger: Messenger | None = None
        self._stalls = self._failed = False
        self._mute = not (self._section.webhook or self._section.command)
        self.told: deque[Alert] = deque(maxlen=_KEPT)

    def look(self, snapshot: Snapshot) -> None:
        """Tell what a run as it is now gives reason to, and log its stalls."""
        self._log_stall(snapshot)
        if not self._alerts.watches or self._failed:
            return
        try:
            for alert in self._alerts.look(snapshot, self._free()):
                self._tell(alert)
        except Exception as error:  # noqa: BLE001 - boundary: to be told costs no run
            self._failed = True
            self._say(f"{type(error).__name__}: {error}")

    def _free(self) -> int | None:
        """Return the bytes that are free for outputs; None where nobody asked, or knows."""
        if not self._alerts.has(Matter.DISK):
            return None
        try:
            return free_disk(self._session.output_dir)
        except OSError:  # the disk is gone, of which others tell
            return None

    async def end(self, look: Callable[[], Snapshot], exit_code: int) -> None:
        """Tell that the run has ended, and wait until that has arrived, or not."""
        try:
            if self._alerts.has(Matter.END):
                for alert in self._alerts.end(look(), exit_code):
                    self._tell(alert)
            if self._messenger is not None:
                await self._messenger.close()
        except Exception as error:  # noqa: BLE001 - boundary: to be told costs no run
            self._say(f"{type(error).__name__}: {error}")

    def _log_stall(self, snapshot: Snapshot) -> None:
        """Log that no chunk is finished any more, and later that one was."""
        log = self._session.log
        if snapshot.stalls and not self._stalls:
            message = f"no chunk was finished for {duration(snapshot.still_s)}"
            if longest := max(snapshot.working, key=lambda entry: entry[2], default=None):
                message += f"; {longest[1]} runs for {duration(longest[2])}"
            still = round(snapshot.still_s, 1)
            log.emit("run.stall", level="warning", message=message, still_s=still)
        elif self._stalls and not snapshot.stalls and snapshot.counts["running"]:
            log.emit("run.stall_over", message="chunks are finished again")
        self._stalls = snapshot.stalls

    def _tell(self, alert: Alert) -> None:
        self.told.append(alert)
        told = {"event": alert.event, "title": alert.title, "text": alert.text}
        if alert.event != Matter.END:  # which the log's last line tells
            message = f"{alert.title}: {alert.text}"
            self._session.log.emit("run.notify", message=message, condition=alert.event)
        self._session.put(lu.Noted(ALERT, told))
        if messenger := self._open():
            messenger.take(alert)

    def _open(self) -> Messenger | None:
        """Return what takes alerts elsewhere; None if nothing does, which is said once."""
        if self._messenger is None and not self._mute:
            from geobatch_tui.errors import NotifyError
            from geobatch_tui.orchestration.side_tasks.messenger import Messenger, Ways

            try:
                self._messenger = Messenger(Ways.of(self._section, os.environ), self._say)
            except NotifyError as error:
                self._mute = True
                self._say(error.message)
        return self._messenger

    def _say(self, text: str) -> None:
        """Say that an alert did not arrive: in the log, and as a notice in consoles."""
        self._session.log.emit("notify.failed", level="warning", message=text)
        self._session.put(lu.Noted(ALERT, {"event": "failed", "title": "notify", "text": text}))
