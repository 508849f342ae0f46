"""Segments on their way to the worker: small, in order, and checked."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.errors import VerifyError
from geobatch_tui.execution.protocol.messages import Segment
from geobatch_tui.execution.protocol.segments import SegmentFile, Segments

segments = st.lists(
    st.builds(
        Segment,
        st.integers(0, 2**63),
        st.sampled_from(["1-2-3.spool", "1-4-5.spool", ""]),
        st.integers(0, 2**63),
        st.integers(0, 2**63),
        st.integers(0, 2**32 - 1),
    )
)


@given(segments)
def test_packed_segments_are_the_same_segments(given_segments):
    """Packing keeps every field and the order, and survives the pipe."""
    packed = pickle.loads(pickle.dumps(Segments.pack(given_segments)))  # noqa: S301 - our own bytes
    assert list(packed) == given_segments
    assert packed[1:3] == given_segments[1:3]
    assert len(packed) == len(given_segments)


def test_file_of_segments(tmp_path):
    """Ten thousand segments go through the pipe as a path, and come back as they were."""
    many = [Segment(n, f"{n % 3}.spool", n * 7, n, n * 31 % 2**32) for n in range(10_000)]
    kept = SegmentFile.write(tmp_path / "segments", iter(many))
    sent = pickle.dumps(kept)
    assert len(sent) < 1000
    found = pickle.loads(sent)  # noqa: S301 - our own bytes
    assert len(found) == 10_000
    assert list(found) == many
    assert found[-1] == many[-1]


def test_damaged_file_of_segments(tmp_path):
    """One flipped bit is seen before any chunk is looked for in the wrong place."""
    path = tmp_path / "segments"
    kept = SegmentFile.write(path, [Segment(n, "a", n, n, n) for n in range(10)])
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerifyError, match="damaged"):
        list(kept)


def test_old_file_of_segments_is_replaced(tmp_path):
    """What a killed engine left is written over, and not followed if it is a link."""
    path = tmp_path / "segments"
    path.write_bytes(b"x" * 1000)
    assert list(SegmentFile.write(path, [Segment(0, "a", 1, 2, 3)])) == [Segment(0, "a", 1, 2, 3)]
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        SegmentFile.write(path, [])
