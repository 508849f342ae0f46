"""Places of outputs: what is taken for one, and where the state of its runs lies."""

from pathlib import Path

import pytest

from geobatch_tui.errors import UnsafeInputError
from geobatch_tui.execution.stores.output_prefix import OutputPrefix, is_prefix, local_place


@pytest.mark.parametrize(
    ("text", "shown", "key"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b", "a/b/x.tif"),
        ("S3://bucket/a b", "s3://bucket/a b", "a b/x.tif"),
        ("gs://bucket", "gs://bucket", "x.tif"),
        ("az://box/", "az://box", "x.tif"),
    ],
)
def test_a_prefix_gives_keys(text, shown, key):
    """With or without a slash at its end, or nothing below the bucket."""
    prefix = OutputPrefix.of(text)
    assert str(prefix) == shown
    assert prefix.url("x.tif").key == key
    assert OutputPrefix.of(shown) == prefix


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a",
        "file:///a",
        "s3://u:pw@b/a",
        "s3://b/../a",
        "s3://b/a//b",
        "s3:///a",
        "a/b",
    ],
)
def test_other_places_are_refused(text):
    """None of them repeats a password."""
    with pytest.raises(UnsafeInputError) as caught:
        OutputPrefix.of(text)
    assert "pw" not in caught.value.message


def test_names_that_a_store_does_not_take_are_refused():
    """Of files whose names are bytes, or too long."""
    for name in ("a\udcff.tif", "x" * 1020 + ".tif"):
        with pytest.raises(UnsafeInputError):
            OutputPrefix.of("s3://b/p").url(name)


def test_state_lies_with_the_user(monkeypatch, tmp_path):
    """By a digest of the URL, the same for each way to write it; a path stays what it is."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    place = local_place("s3://bucket/a/")
    assert place == local_place("s3://bucket/a") != local_place("s3://bucket/b")
    assert place.parent == tmp_path / "geobatch" / "stores"
    assert local_place(Path("out")) == Path("out") == local_place("out")
    assert is_prefix("gs://b/c")
    assert not is_prefix("gs/b")
