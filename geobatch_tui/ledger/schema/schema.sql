-- Version 1 of the ledger. Applied in one transaction, which also sets application_id and
-- user_version. States are those of updates.ChunkState and updates.ItemState.
--
-- Chunks of an item have consecutive ids from item.first_chunk, so they need no index by item.
-- Counters are kept by triggers: whatever statement moves a chunk, they follow.

CREATE TABLE run (
    epoch INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    state TEXT NOT NULL,
    t0 REAL NOT NULL,
    t1 REAL,
    exit_code INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    job TEXT NOT NULL,
    versions TEXT NOT NULL,
    n_done INTEGER NOT NULL DEFAULT 0,
    n_dead INTEGER NOT NULL DEFAULT 0,
    n_retry INTEGER NOT NULL DEFAULT 0,
    units INTEGER NOT NULL DEFAULT 0,
    bytes_in INTEGER NOT NULL DEFAULT 0,
    bytes_out INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0
) STRICT;

-- One row: chunks by state, without those of orphans, and the next free ids. Ids are never used twice, since spools of a
-- dropped item may still lie in its directory.
CREATE TABLE tally (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_item INTEGER NOT NULL DEFAULT 1,
    next_chunk INTEGER NOT NULL DEFAULT 1,
    n_total INTEGER NOT NULL DEFAULT 0,
    n_running INTEGER NOT NULL DEFAULT 0,
    n_retry INTEGER NOT NULL DEFAULT 0,
    n_done INTEGER NOT NULL DEFAULT 0,
    n_dead INTEGER NOT NULL DEFAULT 0,
    n_skipped INTEGER NOT NULL DEFAULT 0,
    n_cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO tally (id) VALUES (1);

CREATE TABLE item_tally (state INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO item_tally (state) VALUES (0), (1), (3), (4), (5), (8);

-- Documents that many items share: parameters.
CREATE TABLE doc (doc_id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE spool (spool_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO spool (spool_id, name) VALUES (0, '');

CREATE TABLE item (
    item_id INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    first_chunk INTEGER NOT NULL,
    n_chunks INTEGER NOT NULL CHECK (n_chunks > 0),
    key TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    src_size INTEGER NOT NULL,
    src_mtime_ns INTEGER NOT NULL,
    src_digest TEXT NOT NULL,
    params_digest TEXT NOT NULL,
    code_digest TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    params_doc INTEGER NOT NULL,
    out_path TEXT NOT NULL,
    out_size INTEGER NOT NULL,
    out_mtime_ns INTEGER NOT NULL,
    out_digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    plan TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT;
CREATE INDEX item_open ON item (item_id) WHERE state IN (0, 1, 3);

-- Apart from item, whose rows are wide: these change with every chunk.
CREATE TABLE item_count (
    item_id INTEGER PRIMARY KEY,
    n_running INTEGER NOT NULL DEFAULT 0,
    n_retry INTEGER NOT NULL DEFAULT 0,
    n_done INTEGER NOT NULL DEFAULT 0,
    n_dead INTEGER NOT NULL DEFAULT 0,
    n_skipped INTEGER NOT NULL DEFAULT 0,
    n_cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE chunk (
    chunk_id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    spool_id INTEGER NOT NULL DEFAULT 0,
    spool_offset INTEGER NOT NULL DEFAULT 0,
    spool_length INTEGER NOT NULL DEFAULT 0,
    crc32 INTEGER NOT NULL DEFAULT 0,
    units INTEGER NOT NULL DEFAULT 0,
    bytes_in INTEGER NOT NULL DEFAULT 0,
    bytes_out INTEGER NOT NULL DEFAULT 0,
    micros INTEGER NOT NULL DEFAULT 0,
    nodata REAL NOT NULL DEFAULT 0,
    rss_kib INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX chunk_open ON chunk (chunk_id) WHERE state IN (0, 1, 2);
CREATE INDEX chunk_busy ON chunk (state) WHERE state IN (1, 2);

-- Failed attempts only: what went well is in the chunk's row.
CREATE TABLE attempt (
    attempt_id INTEGER PRIMARY KEY,
    chunk_id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    t REAL NOT NULL,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    error_class TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX attempt_chunk ON attempt (chunk_id);

-- chunk_id is NULL where a whole item was given up.
CREATE TABLE dead (
    dead_id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL,
    chunk_id INTEGER,
    t REAL NOT NULL,
    attempts INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    error_class TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX dead_once ON dead (item_id, ifnull(chunk_id, -1));
CREATE INDEX dead_class ON dead (error_class);

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    t REAL NOT NULL,
    kind TEXT NOT NULL,
    item_id INTEGER,
    chunk_id INTEGER,
    data TEXT
) STRICT;

-- The latest of each kind of note, which the ring of events may have lost by now.
CREATE TABLE note (
    kind TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    t REAL NOT NULL,
    data TEXT NOT NULL
) STRICT;

CREATE TRIGGER chunk_moved AFTER UPDATE OF state ON chunk WHEN old.state <> new.state
BEGIN
    UPDATE item_count SET
        n_running = n_running + (new.state = 1) - (old.state = 1),
        n_retry = n_retry + (new.state = 2) - (old.state = 2),
        n_done = n_done + (new.state = 4) - (old.state = 4),
        n_dead = n_dead + (new.state = 5) - (old.state = 5),
        n_skipped = n_skipped + (new.state = 6) - (old.state = 6),
        n_cancelled = n_cancelled + (new.state = 7) - (old.state = 7)
    WHERE item_id = new.item_id;
    UPDATE tally SET
        n_running = n_running + (new.state = 1) - (old.state = 1),
        n_retry = n_retry + (new.state = 2) - (old.state = 2),
        n_done = n_done + (new.state = 4) - (old.state = 4),
        n_dead = n_dead + (new.state = 5) - (old.state = 5),
        n_skipped = n_skipped + (new.state = 6) - (old.state = 6),
        n_cancelled = n_cancelled + (new.state = 7) - (old.state = 7)
    WHERE (SELECT state FROM item WHERE item_id = new.item_id) <> 8;
END;

-- A new item brings its chunks: pending, or done where the item was adopted as published.
CREATE TRIGGER item_added AFTER INSERT ON item
BEGIN
    INSERT INTO chunk (chunk_id, item_id, state)
        SELECT i, new.item_id, iif(new.state = 4, 4, 0) FROM (
            WITH RECURSIVE span (i) AS (
                SELECT new.first_chunk
                UNION ALL
                SELECT i + 1 FROM span WHERE i + 1 < new.first_chunk + new.n_chunks
            )
            SELECT i FROM span
        );
    INSERT INTO item_count (item_id, n_done)
        VALUES (new.item_id, iif(new.state = 4, new.n_chunks, 0));
    UPDATE tally SET
        n_total = n_total + new.n_chunks,
        n_done = n_done + iif(new.state = 4, new.n_chunks, 0),
        next_item = max(next_item, new.item_id + 1),
        next_chunk = max(next_chunk, new.first_chunk + new.n_chunks);
    UPDATE item_tally SET n = n + 1 WHERE state = new.state;
END;

CREATE TRIGGER item_moved AFTER UPDATE OF state ON item WHEN old.state <> new.state
BEGIN
    UPDATE item_tally SET n = n - 1 WHERE state = old.state;
    UPDATE item_tally SET n = n + 1 WHERE state = new.state;
    -- The factor is -1 when the item becomes an orphan, 1 when it is one no more, else 0.
    UPDATE tally SET
        n_total = tally.n_total + c.factor * old.n_chunks,
        n_running = tally.n_running + c.factor * c.n_running,
        n_retry = tally.n_retry + c.factor * c.n_retry,
        n_done = tally.n_done + c.factor * c.n_done,
        n_dead = tally.n_dead + c.factor * c.n_dead,
        n_skipped = tally.n_skipped + c.factor * c.n_skipped,
        n_cancelled = tally.n_cancelled + c.factor * c.n_cancelled
        FROM (
            SELECT *, (old.state = 8) - (new.state = 8) AS factor
            FROM item_count WHERE item_id = old.item_id
        ) AS c
        WHERE c.factor <> 0;
END;

CREATE TRIGGER item_gone AFTER DELETE ON item
BEGIN
    UPDATE tally SET
        n_total = tally.n_total - old.n_chunks,
        n_running = tally.n_running - c.n_running,
        n_retry = tally.n_retry - c.n_retry,
        n_done = tally.n_done - c.n_done,
        n_dead = tally.n_dead - c.n_dead,
        n_skipped = tally.n_skipped - c.n_skipped,
        n_cancelled = tally.n_cancelled - c.n_cancelled
        FROM (SELECT * FROM item_count WHERE item_id = old.item_id) AS c
        WHERE old.state <> 8;
    DELETE FROM item_count WHERE item_id = old.item_id;
    DELETE FROM chunk
        WHERE chunk_id >= old.first_chunk AND chunk_id < old.first_chunk + old.n_chunks;
    DELETE FROM attempt
        WHERE chunk_id >= old.first_chunk AND chunk_id < old.first_chunk + old.n_chunks;
    DELETE FROM dead WHERE item_id = old.item_id;
    UPDATE item_tally SET n = n - 1 WHERE state = old.state;
END;
