"""URLs of objects, the hostile among them, and the names that they give outputs."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.stores.object_url import (
    ObjectUrl,
    gdal_name,
    is_url,
    relative_name,
    unsigned,
)


@pytest.mark.parametrize(
    ("text", "root", "key"),
    [
        ("s3://bucket/a/b.tif", "s3://bucket", "a/b.tif"),
        ("S3://Bucket/a%2Fb c.tif", "s3://Bucket", "a%2Fb c.tif"),
        ("https://Host.example:8443/a%20b/c%25.tif", "https://host.example:8443", "a b/c%.tif"),
        ("http://[::1]:80/x.tif", "http://[::1]:80", "x.tif"),
        ("s3://bucket/" + "k" * 1024, "s3://bucket", "k" * 1024),
        ("gs://b/wörk?x#y.tif", "gs://b", "wörk?x#y.tif"),
    ],
)
def test_a_url_is_taken_apart(text, root, key):
    """A key of a bucket is literal; that of a server is decoded, once."""
    url = ObjectUrl.of(text)
    assert (url.root, url.key) == (root, key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://host/a.tif", "not read"),
        ("file:///etc/passwd", "not read"),
        ("https://user:hunter2@host/a.tif", "no user or password"),
        ("https://host/a.tif?sig=hunter2", "has a query"),
        ("https://host/a.tif#hunter2", "behind #"),
        ("https://host/a%2Fb.tif", "encoded slash"),
        ("https://host/../a.tif", '".."'),
        ("https://host/%2e%2e/a.tif", '".."'),
        ("https://host/a//b.tif", "empty part"),
        ("s3://bucket", "no object"),
        ("s3:///key", "no host"),
        ("s3://bucket/a\nb.tif", "control"),
        ("s3://bucket/../../x.tif", '".."'),
        ("s3://bucket/" + "k" * 1025, "1025 bytes"),
        ("s3://bucket/a\udcffb", "UTF-8"),
        ("http://169.254.169.254/latest/meta-data", "no host"),
        ("http://[fe80::1]/x", "no host"),
        ("https://ho st/a.tif", "no host"),
    ],
)
def test_what_no_client_can_send_is_refused(text, why):
    """Each with a reason, on one line, and without the secret that it holds."""
    assert is_url(text)
    with pytest.raises(UnsafeInputError, match=why) as caught:
        ObjectUrl.of(text)
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_signature_is_taken_off_a_url():
    """Keys of buckets may hold a question mark."""
    for query in (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&X-Amz-Signature=ab",
        "X-Goog-Expires=60&X-Goog-Signature=ab",
        "sv=2024-05-04&st=x&se=y&sr=c&sp=rl&spr=https&skoid=z&sig=a%2Fb%3D",
        "Expires=1&Signature=ab~&Key-Pair-Id=K",
    ):
        assert unsigned(f"https://h/a.tif?{query}") == ("https://h/a.tif", query)
    for text in (
        "https://h/a.tif",
        "https://h/a.tif?",
        "https://h/a.tif?page=2",
        "https://h/a.tif?se=y",
        "https://h/a.tif?sig=x&mine=y",
        "https://h/a.tif?sig=x#y",
    ):
        assert unsigned(text) == (text, "")
    assert unsigned("S3://b/what?.tif") == ("S3://b/what?.tif", "")


def test_commands_for_gdal_name_sources_as_gdal_does():
    """Files as they are."""
    assert gdal_name("/data/a.tif") == "/data/a.tif"
    assert gdal_name("s3://bucket/a b.tif") == "/vsis3/bucket/a b.tif"
    assert gdal_name("https://host/a.tif") == "/vsicurl/https://host/a.tif"


@given(st.text(max_size=80))
def test_the_name_of_an_output_stays_below_its_directory(key):
    """Whatever a store calls its objects: no part is hidden, empty, or leads up."""
    name = relative_name(key)
    assert not PurePosixPath(name).is_absolute()
    assert all(part and not part.startswith(".") for part in name.split("/"))
    assert not set(name) & {"\0", "\n", "\\"}


def test_long_parts_of_keys_fit_a_filesystem():
    """And stay apart."""
    names = [relative_name(f"{'ä' * 300}{end}/{'k' * 900}.tif") for end in "xy"]
    assert names[0] != names[1]
    assert all(len(part.encode()) <= 200 for name in names for part in name.split("/"))
    assert all(name.endswith(".tif") for name in names)
