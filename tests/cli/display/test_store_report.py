"""What a store allows, each by asking it: the answers are right, and nothing is left there."""

from __future__ import annotations

import pytest
from moto_store import BUCKET, ENVIRONMENT, stored

from geobatch_tui.cli.display.store_report import store_findings
from geobatch_tui.config.layers import make_job
from geobatch_tui.execution.stores import store_client, store_settings
from geobatch_tui.execution.stores.writing import part_upload
from geobatch_tui.orchestration.plan.remote.object_inputs import enter_stores

ASKED = ("list", "write", "read", "conditional put", "conditional read", "multipart", "remove")


@pytest.fixture(scope="module")
def server():
    with stored() as store:
        yield store


@pytest.fixture
def store(server, monkeypatch):
    """A bucket that a job names, with secrets by their variables."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    job = make_job({
        "source": {"inputs": [f"s3://{BUCKET}/in/"]},
        "op": {"name": "raster.convert"},
        "output": {"dir": f"s3://{BUCKET}/out"},
        "storage": server.section(),
    })  # fmt: skip
    enter_stores(job.job)
    yield server
    server.empty()
    store_settings.use(store_settings.Stores())


def found(text=f"s3://{BUCKET}/out"):
    return {one.topic: one for one in store_findings(text)}


def test_a_store_that_does_all(store):
    """Each is a yes with its time; secrets are named by where they are, and no object stays."""
    store.put("out/a.tif", b"x")
    told = found()
    assert [topic for topic in ASKED if topic in told] == [*ASKED[:-1]]
    assert {told[topic].text.partition(",")[0] for topic in ASKED[:-1]} == {"yes"}
    assert "1 objects" in told["list"].text
    assert BUCKET in told["credentials"].text
    texts = " ".join(one.text for one in told.values())
    assert not [value for value in ENVIRONMENT.values() if value in texts]
    assert store.names() == ["out/a.tif"]
    assert store.unfinished() == []


def test_what_is_forbidden_is_said_with_the_reason(store):
    """Of what hangs on it nothing is asked; reading and listing are answered all the same."""
    store.fault = lambda method, key, query: 403 if method in {"PUT", "POST"} else 0
    told = found()
    assert told["list"].verdict == "ok"
    assert told["write"].text.startswith("no: ")
    assert told["write"].verdict == "bad"
    assert "read" not in told


def test_an_upload_in_parts_that_fails_is_given_up(store):
    """Its parts would cost money for ever."""
    store.fault = lambda method, key, query: 400 if "partNumber=2" in query else 0
    told = found()
    assert told["multipart"].text.startswith("no: ")
    assert store.names() == []
    assert store.unfinished() == []


def test_a_store_that_knows_no_conditions_is_told(store, monkeypatch):
    """Another output of the name would be replaced, whatever if_exists says."""
    uploads, own = part_upload.PartUploads, part_upload.PartUploads.put
    monkeypatch.setattr(uploads, "put", lambda *given, absent: own(*given, absent=False))
    read = store_client.StoreClient.read
    monkeypatch.setattr(
        store_client.StoreClient, "read", lambda self, url, start, end, wanted: read(
            self, url, start, end, None
        )
    )  # fmt: skip
    told = found()
    for topic in ("conditional put", "conditional read"):
        assert told[topic].text.startswith("no: ")
        assert told[topic].verdict == "warn"
    assert store.names() == []
