"""The figures of `Traffic` as the JSON of `GET /_control/statistics`.

    {"since": 1700000000.0, "now": 1700000060.5,          seconds since the epoch, of the server's clock
     "series_from": 1700000000,                           the series are complete from this second on
     "calls": {"PutRecords": 12, ...},                    by operation, as they arrived
     "errors": {"ValidationException": 1, ...},           answers that were an error as a whole, by code
     "faults": {"record_throttled": 3, ...},              injected, by kind
     "streams": {"orders": FIGURES + {
         "shards": {"shardId-000000000000": COUNTS + {
             "sliding_second_max": {"records_offered": 950, "bytes_offered": .., "records_stored": .., "bytes_stored": ..},
             "series": SERIES}},
         "clients": {"ACCESSKEYID": FIGURES + {"shards": {"shardId-000000000000": COUNTS + {"series": SERIES}}}}}}}

FIGURES are "requests" (PutRecords and PutRecord that were read; the stream exists), "requests_refused" (invalid, as a whole),
"requests_over_limit" (those of them that broke a limit: records or bytes of a request, size of a record, length of a
partition key), "largest_request_records", "largest_request_bytes", "largest_record_bytes" (also of refused requests), and COUNTS.

COUNTS are "records_offered", "records_stored", "records_throttled" (over a shard's limit), "records_failed" (any other reason),
and the same four of "bytes_...". Bytes are data and partition key. Offered is the sum of the other three. Records of refused
requests are in none of them. A request that an injected error kept from being stored is offered, and throttled or failed.

SERIES are columns: "second" (whole seconds in which something came, at most the last 900) and one column for each of COUNTS.

"sliding_second_max" is the largest sum in any window (t - 1 s, t], all clients together.

It is made in one piece: half a second for 64 shards, 900 seconds and two clients. Ask for it at the end, not all the time.

A client is the access key id of the request's signature; all after the first 16 are one client, "other".
"""

from collections.abc import Iterable
from typing import Any

from bridge.embedded.traffic import COUNTS, PEAKS, Cells, Counts, Requests, Traffic, add_counts

Report = dict[str, Any]
Series = dict[int, Counts]


def report(traffic: Traffic, now: float) -> Report:
    """The whole document."""
    totals, series = traffic.totals(), _series(traffic)
    keys = sorted({*traffic.requests, *totals})
    streams = {stream: [key for key in keys if key[0] == stream] for stream in dict.fromkeys(key[0] for key in keys)}
    return {
        "since": traffic.since,
        "now": now,
        "series_from": traffic.series_from,
        "calls": dict(sorted(traffic.calls.items())),
        "errors": dict(sorted(traffic.errors.items())),
        "faults": dict(sorted(traffic.faults.items())),
        "streams": {stream: _stream(traffic, stream, of_stream, totals, series) for stream, of_stream in streams.items()},
    }


def _stream(
    traffic: Traffic,
    stream: str,
    keys: list[tuple[str, str]],
    totals: Cells,
    series: dict[tuple[str, str], dict[str, Series]],
) -> Report:
    clients = {
        client: {
            **_figures([traffic.requests[stream, client]], totals.get((stream, client), {}).values()),
            "shards": {
                shard_id: {**_counts(counts), "series": _columns(series[stream, client].get(shard_id, {}))}
                for shard_id, counts in sorted(totals.get((stream, client), {}).items())
            },
        }
        for _, client in keys
    }
    shards: dict[str, Report] = {}
    for shard_id, peaks in sorted(traffic.peaks.get(stream, {}).items()):
        of_clients = [totals[key][shard_id] for key in keys if shard_id in totals.get(key, {})]
        merged: Series = {}
        for key in keys:
            _merge(merged, series[key].get(shard_id, {}).items())
        shards[shard_id] = {
            **_counts(_sum(of_clients)),
            "sliding_second_max": dict(zip(PEAKS, peaks.largest, strict=True)),
            "series": _columns(merged),
        }
    every = [counts for key in keys for counts in totals.get(key, {}).values()]
    return {**_figures([traffic.requests[key] for key in keys], every), "shards": shards, "clients": clients}


def _series(traffic: Traffic) -> dict[tuple[str, str], dict[str, Series]]:
    found: dict[tuple[str, str], dict[str, Series]] = {key: {} for key in traffic.requests}
    for second, cells in traffic.series():
        for key, shards in cells.items():
            for shard_id, counts in shards.items():
                _merge(found[key].setdefault(shard_id, {}), [(second, counts)])
    return found


def _merge(into: Series, others: Iterable[tuple[int, Counts]]) -> None:
    for second, counts in others:
        add_counts(into.setdefault(second, [0] * len(COUNTS)), counts)


def _columns(series: Series) -> Report:
    seconds = sorted(series)
    columns = {name: [series[second][column] for second in seconds] for column, name in enumerate(COUNTS)}
    return {"second": seconds, **columns}


def _figures(requests: list[Requests], counts: Iterable[Counts]) -> Report:
    return {
        "requests": sum(part.requests for part in requests),
        "requests_refused": sum(part.refused for part in requests),
        "requests_over_limit": sum(part.over_limit for part in requests),
        "largest_request_records": max(part.largest_request_records for part in requests),
        "largest_request_bytes": max(part.largest_request_bytes for part in requests),
        "largest_record_bytes": max(part.largest_record_bytes for part in requests),
        **_counts(_sum(counts)),
    }


def _sum(parts: Iterable[Counts]) -> Counts:
    total = [0] * len(COUNTS)
    for counts in parts:
        add_counts(total, counts)
    return total


def _counts(counts: Counts) -> Report:
    return dict(zip(COUNTS, counts, strict=True))
