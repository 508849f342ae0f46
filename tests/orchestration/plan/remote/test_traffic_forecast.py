"""What a plan says of the requests and bytes that its sources will take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from geobatch_tui.execution.protocol.messages import SourceIdentity
from geobatch_tui.execution.sources.source_list import write_source_list
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings
from geobatch_tui.orchestration.plan.recipe import Decision
from geobatch_tui.orchestration.plan.remote import traffic_forecast
from geobatch_tui.orchestration.plan.remote.traffic_forecast import EACH, LONGEST, TrafficForecast

SCENE = Decision("a.tif", "s3://a/b.tif", SourceIdentity(10 * LONGEST, 1, "x:y"), "f", "new")


def test_sources_are_counted_by_store():
    """Those that will be read: not files, nor items that are current."""
    forecast = TrafficForecast()
    for source, reason in [
        ("s3://a/b.tif", "new"),
        ("s3://a/c.tif", "source_changed"),
        ("https://host/c.tif", "was_interrupted"),
        ("s3://a/d.tif", "current"),
        ("/local.tif", "new"),
    ]:
        forecast.add(replace(SCENE, source=source, reason=reason))
    assert [(one["store"], one["objects"]) for one in forecast.to_json()] == [
        ("https://host", 1),
        ("s3://a", 2),
    ]
    assert forecast.requests["s3://a"] == 2 * (EACH + 15)
    assert forecast.bytes["https://host"] == 15 * LONGEST


def test_the_members_of_a_group_share_its_bytes(tmp_path):
    """Files of a disk among them are no traffic."""
    listed = write_source_list(["s3://a/1.tif", "s3://a/2.tif", "s3://b/3.tif", "/4.tif"], tmp_path)
    forecast = TrafficForecast()
    forecast.add(replace(SCENE, source=listed))
    assert forecast.objects == {"s3://a": 2, "s3://b": 1}
    assert forecast.bytes == {"s3://a": 7.5 * LONGEST, "s3://b": 3.75 * LONGEST}


@pytest.mark.parametrize(
    ("regions", "here", "told"),
    [
        ({"s3://a": "eu-1"}, "", []),
        ({"s3://a": "eu-1"}, "eu-1", []),
        ({"s3://a": "eu-1", "s3://out": "eu-1"}, "", []),
        ({}, "us-1", []),  # nobody says where the source is
        ({"s3://a": "eu-1"}, "us-1", ["this machine in us-1"]),
        ({"s3://a": "eu-1", "s3://out": "us-2"}, "eu-1", ["the outputs in us-2"]),
        (
            {"s3://a": "eu-1", "s3://out": "us-2"},
            "us-1",
            ["this machine in us-1 and the outputs in us-2"],
        ),
    ],
)
def test_regions_that_differ_are_told(regions, here, told):
    forecast = TrafficForecast()
    forecast.add(SCENE)
    stores = Stores({root: StoreSettings(region=region) for root, region in regions.items()})
    found = list(forecast.warnings(stores, "s3://out/x", {"AWS_DEFAULT_REGION": here}))
    assert len(found) == len(told)
    assert all(words in warning for words, warning in zip(told, found, strict=True))


def test_very_many_requests_are_told(monkeypatch):
    """With what they are for."""
    monkeypatch.setattr(traffic_forecast, "MANY", EACH + 15)
    forecast = TrafficForecast()
    forecast.add(SCENE)
    (warning,) = forecast.warnings(Stores(), "/out", {})
    assert warning.startswith("s3://a: about 20 requests for 1 object")
