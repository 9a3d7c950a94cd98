"""What answers mean for people: counted by request, logged when trouble begins, changes and ends."""

import pytest

from bridge.app.put_report import MESSAGE_CHARACTERS_MAX, PutReport
from bridge.core.delivery.lanes import Row
from bridge.core.delivery.requests import Request, Resolution
from bridge.core.records import Outcome, PutAnswer
from tests.unit.app.lines import FIRST_MS, LoggingTelemetry, admit, new_line

REQUEST = Request(rows=[], runs=[("shard-0", 0, 3), ("shard-1", 3, 4)], run_sizes=[300, 100], size=400)
STORED = PutAnswer(None, [Outcome.STORED] * 4)


@pytest.fixture
def telemetry() -> LoggingTelemetry:
    return LoggingTelemetry()


@pytest.fixture
def report(telemetry) -> PutReport:
    return PutReport("stream", telemetry)


def answered(report: PutReport, answer: PutAnswer, unknown: list[Row] | None = None) -> None:
    report.answered(REQUEST, answer, Resolution(unknown=unknown or []), 0.2)


def failure(outcome: Outcome = Outcome.TRANSIENT, code: str = "Unreachable", message: str = "refused") -> PutAnswer:
    return PutAnswer(outcome, code=code, message=message)


def test_a_request_is_counted_with_its_records_by_shard(report, telemetry):
    answered(report, STORED)
    assert telemetry.total("bridge_put_requests_total", "stream", "stored") == 1
    assert telemetry.total("bridge_put_bytes_total", "stream", "shard-0") == 300
    assert telemetry.total("bridge_put_bytes_total", "stream", "shard-1") == 100
    assert telemetry.total("bridge_put_records_total", "stream", "shard-0") == 3
    assert telemetry.total("bridge_put_records_total", "stream", "shard-1") == 1
    assert telemetry.lines == []


def test_refused_records_are_counted_by_shard_and_code(report, telemetry):
    codes = {"ProvisionedThroughputExceededException": 2, "InternalFailure": 1}
    outcomes = [Outcome.THROTTLED, Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.STORED]
    report.answered(REQUEST, PutAnswer(None, outcomes, codes=codes), Resolution(throttled={"shard-0": 2}), 0.2)
    assert telemetry.total("bridge_put_requests_total", "stream", "partly_stored") == 1
    assert telemetry.total("bridge_throttled_records_total", "stream", "shard-0") == 2
    assert telemetry.total("bridge_record_errors_total", "stream", "InternalFailure") == 1
    assert telemetry.total("bridge_record_errors_total", "stream", "ProvisionedThroughputExceededException") == 0
    assert report.trouble is None


def test_trouble_is_logged_once_and_its_end_once(report, telemetry):
    for _ in range(3):
        answered(report, failure())
    assert report.trouble == "PutRecords: Unreachable: refused"
    assert [(level, event) for level, event, _ in telemetry.lines] == [("warning", "stream_trouble")]
    for _ in range(3):
        answered(report, STORED)
    assert report.trouble is None
    assert telemetry.events() == ["stream_trouble", "stream_recovered"]
    assert telemetry.total("bridge_put_requests_total", "stream", "transient") == 3


def test_trouble_ends_without_another_request_where_all_that_had_no_answer_has_landed(report, telemetry):
    rows = admit(new_line(), [0, 1, 2]).take_rows()
    answered(report, failure(Outcome.UNKNOWN, "ConnectionLost"), unknown=rows)
    report.found(rows[:1], [])
    assert report.trouble is not None, "two are not known yet"
    report.found(rows[1:], [])
    assert report.trouble is None
    assert telemetry.events() == ["stream_trouble", "stream_recovered"]
    report.found(rows[:1], [])
    assert telemetry.events() == ["stream_trouble", "stream_recovered"]


def test_trouble_goes_on_where_something_is_sent_again_or_the_stream_says_no(report):
    rows = admit(new_line(), [0, 1]).take_rows()
    answered(report, failure(Outcome.UNKNOWN, "ConnectionLost"), unknown=rows)
    report.found(rows[:1], rows[1:])
    assert report.trouble is not None
    answered(report, failure(Outcome.UNKNOWN, "ConnectionLost"), unknown=rows[:1])
    answered(report, failure(Outcome.FATAL, "AccessDeniedException"))
    report.found(rows[:1], [])
    assert report.trouble is not None


def test_another_trouble_is_logged_anew_and_what_needs_a_person_as_an_error(report, telemetry):
    answered(report, failure())
    answered(report, failure(Outcome.FATAL, "AccessDeniedException", "x" * 1000))
    assert [level for level, _, _ in telemetry.lines] == ["warning", "error"]
    assert report.trouble is not None
    assert len(report.trouble) < MESSAGE_CHARACTERS_MAX + 50
    answered(report, failure())
    assert telemetry.events() == ["stream_trouble"] * 3


def test_a_rejected_request_is_no_trouble_of_the_stream(report, telemetry):
    answered(report, failure())
    answered(report, failure(Outcome.REJECTED, "ValidationException"))
    assert report.trouble is None
    assert telemetry.total("bridge_put_requests_total", "stream", "rejected") == 1


def test_confirmed_records_count_for_their_route(report, telemetry):
    line, gone = new_line(0), new_line(1)
    rows = admit(line, [0, 1]).take_rows() + admit(gone, [0]).take_rows()
    report.delivered(rows, {line.lanes: (line, None)}, FIRST_MS + 250.0)
    assert telemetry.total("bridge_records_acked_total", "orders") == 2
    assert b'bridge_delivery_seconds_count{route="orders"} 2.0' in telemetry.render()


def test_a_record_counts_as_perhaps_twice_only_when_it_is_stored_after_a_lost_answer(report, telemetry):
    line = new_line()
    lines = {line.lanes: (line, None)}
    rows = admit(line, [0, 1, 2]).take_rows()
    answered(report, failure(Outcome.UNKNOWN, "Timeout"), unknown=rows[:2])
    answered(report, failure(Outcome.UNKNOWN, "Timeout"), unknown=rows[:1])
    assert telemetry.total("bridge_unknown_attempts_total", "stream") == 3
    assert telemetry.total("bridge_duplicates_total", "orders", "unknown_attempt") == 0
    report.delivered(rows[2:], lines, FIRST_MS)
    assert telemetry.total("bridge_duplicates_total", "orders", "unknown_attempt") == 0
    report.delivered(rows[:1], lines, FIRST_MS)
    report.delivered(rows[:1], lines, FIRST_MS)
    assert telemetry.total("bridge_duplicates_total", "orders", "unknown_attempt") == 1


def test_a_partition_takes_its_doubts_along(report, telemetry):
    leaving, staying = new_line(0), new_line(1)
    rows = admit(leaving, [0]).take_rows() + admit(staying, [0]).take_rows()
    answered(report, failure(Outcome.UNKNOWN, "Timeout"), unknown=rows)
    report.forget(leaving.lanes)
    lines = {line.lanes: (line, None) for line in (leaving, staying)}
    report.delivered(rows, lines, FIRST_MS)
    assert telemetry.total("bridge_duplicates_total", "orders", "unknown_attempt") == 1
