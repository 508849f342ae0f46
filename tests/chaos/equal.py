"""Experiments on how a job is cut and shared out: neither may be seen in its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import harness
from harness import Verdict, files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos_jobs import Fixture

#: Features in a chunk, and workers.
CUTS = ((60, 2), (0, 1), (97, 3))


def cut_otherwise(fixture: Fixture) -> Verdict:
    """Run a job about features in chunks of several sizes, with one to three workers: the same bytes.

    After each run, the same again must compute nothing, and leave every file as it is.
    """
    verdict = Verdict("cut otherwise")
    reference = None
    for features, workers in CUTS:
        when = f"{features} features, {workers} workers"
        fixture.forget()
        fixture.write(engine={"chunk_features": features, "max_workers": workers})
        ended = fixture.run()
        if not verdict.expect(
            ended.code == 0, f"{when}: exit {ended.code}: {ended.stderr[-1500:]}"
        ):
            continue
        chunks = ended.json["counts"]["done"]
        verdict.figures[when] = f"{chunks} chunks"
        reference = reference or harness.tree_hash(fixture.out)
        verdict.same_tree(fixture.out, reference, when)
        verdict.clean(fixture.out, when)
        before = [
            (path, path.stat().st_mtime_ns, path.stat().st_ino) for path in files(fixture.out)
        ]
        again = fixture.run()
        counts = again.json["counts"] if again.code == 0 else {}
        verdict.expect(counts.get("done") == 0, f"{when}: again: exit {again.code}, {counts}")
        verdict.expect(counts.get("current") == chunks, f"{when}: again: {counts}")
        after = [(path, path.stat().st_mtime_ns, path.stat().st_ino) for path in files(fixture.out)]
        verdict.expect(before == after, f"{when}: the second run touched an output")
    return verdict


def rasters_cut_otherwise(fixture: Fixture, cuts: Sequence[tuple[int, int, bool]]) -> Verdict:
    """Run a job about rasters in chunks of several sides, with so many workers, which are threads
    or processes: the same bytes."""
    verdict = Verdict("cut otherwise")
    reference = None
    for side, workers, threads in cuts:
        when = f"chunks of {side}, {workers} {'threads' if threads else 'processes'}"
        fixture.forget()
        fixture.write(engine={"chunk_cols": side, "chunk_rows": side, "max_workers": workers})
        ended = fixture.run(threads=threads)
        if verdict.expect(ended.code == 0, f"{when}: exit {ended.code}: {ended.stderr[-1500:]}"):
            verdict.figures[when] = f"{ended.json['counts']['done']} chunks"
            reference = reference or harness.tree_hash(fixture.out)
            verdict.same_tree(fixture.out, reference, when)
            verdict.clean(fixture.out, when)
    return verdict
