"""Letters of single features: their chunk is done, and goes without them."""

from __future__ import annotations

from geobatch_tui.ledger.schema.updates import ChunkState, ItemPlanned, ItemPublished


def _record(feature):
    return {"item": "1.tif", "chunk": "1.tif@0,0", "feature": feature, "error_message": "gone"}


def _letters(*numbers, error="GeometryError"):
    return tuple((number, error, _record(number)) for number in numbers)


def _found(reader):
    return [(letter.chunk_id, letter.feature, letter.error_class) for letter in reader.letters()]


def _states(reader):
    return [chunk.state for chunk in reader.chunks(1)]


def test_a_done_chunk_has_a_letter_for_each_feature(ledger, reader, item, done):
    """They are listed and counted; the chunk stays done and the ledger sound."""
    ledger.apply([ItemPlanned(item(1, 1, 2)), done(1, 1, letters=_letters(4, 9)), done(2, 1)])
    assert _found(reader) == [(1, 4, "GeometryError"), (1, 9, "GeometryError")]
    assert [record["feature"] for record in reader.dead_letters()] == [4, 9]
    assert reader.dead_by_class() == {"GeometryError": 2}
    assert _states(reader) == [ChunkState.DONE] * 2
    assert reader.audit() == []


def test_a_chunk_that_is_done_again_has_only_its_new_letters(ledger, reader, item, done):
    """Features that came through this time have no letter any more."""
    ledger.apply([ItemPlanned(item(1, 1, 1)), done(1, 1, letters=_letters(4, 9))])
    ledger.apply([done(1, 1, letters=_letters(9, error="PoisonError"))])
    assert _found(reader) == [(1, 9, "PoisonError")]
    ledger.apply([done(1, 1)])
    assert _found(reader) == []


def test_requeue_revives_the_chunk_of_a_feature(ledger, reader, item, done):
    """One letter chosen brings back its chunk alone, and takes all of the chunk's letters."""
    more = _letters(4) + _letters(5, error="PoisonError")
    ledger.apply([ItemPlanned(item(1, 1, 2)), done(1, 1, letters=more), done(2, 1)])
    assert ledger.requeue_dead(classes=["PoisonError"]) == 1
    assert _states(reader) == [ChunkState.PENDING, ChunkState.DONE]
    assert _found(reader) == []
    assert reader.audit() == []


def test_requeue_of_a_feature_of_a_published_item_redoes_it(ledger, reader, item, done, part):
    """Its spools are gone, so all of its chunks are computed again."""
    row = item(1, 1, 2)
    ledger.apply([ItemPlanned(row), done(1, 1, letters=_letters(4)), done(2, 1)])
    ledger.apply([ItemPublished(1, part("1.tif"), 5, "d" * 32, {})])
    assert _found(reader) == [(1, 4, "GeometryError")]
    assert ledger.requeue_dead(chunk_keys=["1.tif@0,0"]) == 1
    assert _states(reader) == [ChunkState.PENDING] * 2
    assert _found(reader) == []
    assert reader.audit() == []
