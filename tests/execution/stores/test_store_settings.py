"""Settings of stores: secrets by reference, and the ports that workers need."""

import pytest

from geobatch_tui.errors import PreflightError
from geobatch_tui.execution.stores.store_settings import Stores, StoreSettings

STORES = Stores(
    {
        "s3://b": StoreSettings(endpoint="http://minio:9000", secret_key="env:SECRET"),  # noqa: S106
        "https://h:8443": StoreSettings(),
    }
)


def test_secrets_are_taken_from_the_variables_that_are_named():
    """They stand in no text of the settings."""
    found = STORES.resolved({"SECRET": "hunter2"})
    assert found.of("s3://b").secret_key == "hunter2"  # noqa: S105
    assert found.of("s3://other") == StoreSettings()
    assert "hunter2" not in repr(found)


def test_a_variable_that_is_missing_is_named():
    """Before anything is written."""
    with pytest.raises(PreflightError, match=r'storage."s3://b".secret_key .* SECRET'):
        STORES.resolved({})


def test_workers_reach_the_ports_of_their_stores_alone():
    """And those of a proxy; a job without URLs reaches nothing."""
    found = STORES.resolved({"SECRET": "x", "https_proxy": "http://me:hunter2@p:3128"})
    assert found.ports(["/data/a.tif"]) == ()
    urls = ["s3://b/x.tif", "https://h:8443/y.tif"]
    assert found.ports(urls) == (53, 80, 443, 3128, 8443, 9000)
    assert "hunter2" not in repr(found)
