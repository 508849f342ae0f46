"""Alerts on their way: to a webhook on loopback, and to a program."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from geobatch_tui.config.notify.notify_section import NotifySection
from geobatch_tui.errors import NotifyError
from geobatch_tui.observability.alert import Alert
from geobatch_tui.orchestration.side_tasks import messenger
from geobatch_tui.orchestration.side_tasks.messenger import Messenger, Ways, post, start

ALERT = Alert("end", "relief: success (exit code 0)", "1 of 1 published", 1, {"job": "$(x); `y`"})


@pytest.fixture
def hook(monkeypatch):
    """``hook(*codes)``: a server that answers with these in turn; gives its URL, and what came."""
    monkeypatch.setattr(messenger, "_WAITS", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def serve(*codes):
        came, answers = [], list(codes)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                came.append((self.path, json.loads(body), dict(self.headers)))
                code = answers.pop(0)
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *words):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{server.server_port}/hook", came

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_webhook_gets_the_event(hook):
    """As JSON, with the token of the environment."""
    url, came = hook(200)
    section = NotifySection.model_validate({"webhook": "env:HOOK", "token": "env:SECRET"})
    ways = Ways.of(section, {"HOOK": url, "SECRET": "hunter2"})
    ways.calls()["webhook"](ALERT)
    path, event, headers = came[0]
    assert (path, event) == ("/hook", ALERT.to_json())
    assert headers["Authorization"] == "Bearer hunter2"


def test_what_may_go_away_is_tried_again(hook):
    """Three times in all, where the server is at fault; not where the request is."""
    url, came = hook(503, 429, 200)
    post(url, "", ALERT)
    assert len(came) == 3
    url, came = hook(500, 500, 500)
    with pytest.raises(NotifyError, match=r"127\.0\.0\.1 answered 500"):
        post(url, "", ALERT)
    url, came = hook(404)
    with pytest.raises(NotifyError, match="answered 404"):
        post(url, "", ALERT)
    assert len(came) == 1


def test_no_server_chooses_another(hook):
    """A redirect is not followed, nor is the machine's own link asked."""
    url, came = hook(302)
    with pytest.raises(NotifyError, match="answered 302"):
        post(url, "", ALERT)
    assert len(came) == 1
    with pytest.raises(NotifyError, match="own link"):
        post("http://169.254.169.254/latest", "", ALERT)


def test_a_program_gets_the_event_without_a_shell(tmp_path):
    """On stdin and in variables; words of the event are never words of the command."""
    out = tmp_path / "got"
    code = (
        "import json, os, sys; "
        f"open({str(out)!r}, 'w').write(json.dumps([json.load(sys.stdin), "
        "json.loads(os.environ['GEOBATCH_EVENT']), os.environ['GEOBATCH_EVENT_TITLE']]))"
    )
    start((sys.executable, "-c", code, "$HOME;", "`id`"), ALERT)
    event, again, title = json.loads(out.read_text())
    assert event == again == ALERT.to_json()
    assert title == ALERT.title


def test_what_does_not_arrive_is_said():
    """A program that fails or is not there, a variable that is not set, a URL that is none."""
    with pytest.raises(NotifyError, match="ended with 3: no luck"):
        start((sys.executable, "-c", "import sys; sys.stderr.write('no luck'); sys.exit(3)"), ALERT)
    with pytest.raises(NotifyError, match=r"not-there: .*No such file"):
        start(("not-there",), ALERT)
    with pytest.raises(NotifyError, match="the variable HOOK is not set"):
        Ways.of(NotifySection(webhook="env:HOOK"), {})
    with pytest.raises(NotifyError, match="holds no http") as refused:
        Ways.of(NotifySection(webhook="env:HOOK"), {"HOOK": "file:///hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(NotifyError, match="command"):
        Ways.of(NotifySection(command="'open"), {})


async def test_a_run_is_not_held_up():
    """Each way in a thread of its own; one that fails is a sentence."""
    said, arrived = [], []
    sent = Messenger(Ways(), said.append)

    def fails(alert):
        raise NotifyError(f"no {alert.event}")

    sent._calls = {"webhook": fails, "command": lambda alert: arrived.append(alert.event)}
    sent.take(ALERT)
    await asyncio.sleep(0)
    await sent.close()
    assert said == ["the webhook was not told of end: no end"]
    assert arrived == ["end"]
