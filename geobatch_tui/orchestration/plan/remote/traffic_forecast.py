"""What a run will ask of stores for its sources: requests and bytes, before anything is asked.

Both are bills: stores count requests by the thousand, and bytes that leave their region. The
figures are rough, mostly on the side of too many: a source is taken to be read whole, and half of
it again, as chunks share blocks at their edges. Counted at a server were 3 requests for a GeoTIFF
of 20 KB that we read ourselves, 5 to 6 for one that is copied for GDAL, and 13 for a COG of 26 MB.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geobatch_tui.execution.sources.source_list import is_source_list, members_of
from geobatch_tui.execution.stores.object_url import shown
from geobatch_tui.observability.figures import plural, size
from geobatch_tui.orchestration.plan.remote.store_waits import store_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from geobatch_tui.execution.stores.store_settings import Stores
    from geobatch_tui.orchestration.plan.recipe import Decision

#: Requests for each object: its head and its tail, and looks at what may lie beside it, which a
#: worker that has it copied repeats.
EACH = 5
#: Bytes of the longest request for blocks, and how often a byte is read: chunks share some.
LONGEST, AGAIN = 4 * 2**20, 1.5
#: Requests from which on a plan warns of their number.
MANY = 1_000_000
#: Where a machine in a cloud says in which region it is.
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(slots=True)
class TrafficForecast:
    """Objects, requests and bytes by store, of items that are to be computed."""

    objects: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    def add(self, decision: Decision) -> None:
        """Count the source of an item that a run would compute, with the files of a group."""
        if decision.reason == "current" or decision.failure is not None:
            return
        group = is_source_list(decision.source)
        sources = members_of(decision.source) if group else [decision.source]
        self.count(sources, decision.identity.size)

    def count(self, sources: Iterable[str], total: int) -> None:
        """Count objects of ``total`` bytes together; files of a disk are no traffic."""
        named = [*sources]
        for root, objects in Counter(filter(None, map(store_of, named))).items():
            share = total * objects // len(named)
            self.objects[root] += objects
            read = math.ceil(AGAIN * share)
            self.requests[root] += EACH * objects + math.ceil(read / LONGEST)
            self.bytes[root] += read

    def to_json(self) -> list[dict[str, object]]:
        """Return the list ``stores`` of ``plan --json``."""
        return [
            {
                "store": shown(root),
                "objects": objects,
                "requests": self.requests[root],
                "bytes": self.bytes[root],
            }
            for root, objects in sorted(self.objects.items())
        ]

    def warnings(self, stores: Stores, target: str, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield sentences for the operator: of regions that differ from that of the machine, as
        ``environ`` has it, or of the outputs at ``target``; and of very many requests."""
        here = next(filter(None, map(environ.get, REGIONS)), "")
        out = store_of(target)
        places = {"this machine": here, "the outputs": stores.of(out).region if out else ""}
        for root in sorted(self.objects):
            region = stores.of(root).region
            far = [
                f"{who} in {place}" for who, place in places.items() if place not in ("", region)
            ]
            if root.startswith("s3:") and region and far:
                yield (
                    f"{shown(root)} is in the region {region}, {' and '.join(far)}: up to "
                    f"{size(self.bytes[root])} cross regions, which is slow, and billed by the byte"
                )
            if self.requests[root] >= MANY:
                yield (
                    f"{shown(root)}: about {self.requests[root]:,} requests for "
                    f"{plural(self.objects[root], 'object')}, which stores bill by the thousand"
                )
