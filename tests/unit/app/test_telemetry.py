"""Metrics as Prometheus reads them: sums that are right, names and labels that are in the catalogue."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from bridge.app.telemetry import CATALOGUE, SECONDS, Sample, Telemetry

SPECS = {spec.name: spec for spec in CATALOGUE}


def samples_of(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = telemetry.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fed() -> Telemetry:
    """Every metric of the catalogue with one series of odd labels."""
    telemetry = Telemetry(CollectorRegistry())
    gauges: list[Sample] = []
    for spec in CATALOGUE:
        labels = tuple(f'{label}-"\\\n' for label in spec.labels)
        if spec.kind == "counter":
            telemetry.count(spec.name, 2, *labels)
            telemetry.count(spec.name, 0.5, *labels)
        elif spec.kind == "histogram":
            telemetry.observe(spec.name, {0.3: 1}, *labels)
        else:
            gauges.append((spec.name, labels, 7))
    telemetry.gauges(lambda: gauges)
    return telemetry


def test_every_metric_is_rendered_with_the_labels_of_the_catalogue():
    samples = samples_of(fed())
    for spec in CATALOGUE:
        labels = tuple(sorted((label, f'{label}-"\\\n') for label in spec.labels))
        if spec.kind == "histogram":
            assert samples[f"{spec.name}_count", labels] == 1
            assert samples[f"{spec.name}_sum", labels] == 0.3
            assert samples[f"{spec.name}_bucket", tuple(sorted((*labels, ("le", "0.5"))))] == 1
            assert samples[f"{spec.name}_bucket", tuple(sorted((*labels, ("le", "0.25"))))] == 0
        else:
            assert samples[spec.name, labels] == (2.5 if spec.kind == "counter" else 7)


def test_nothing_is_rendered_that_the_catalogue_does_not_hold():
    suffixes = ("_bucket", "_count", "_sum")
    for name, labels in samples_of(fed()):
        base = next((name.removesuffix(end) for end in suffixes if name.removesuffix(end) in SPECS and name.endswith(end)), name)
        assert base in SPECS
        assert {label for label, _ in labels} - {"le"} == set(SPECS[base].labels)


def test_the_catalogue_follows_prometheus_naming():
    assert len(SPECS) == len(CATALOGUE)
    for spec in CATALOGUE:
        assert spec.name.startswith("bridge_")
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert spec.help.endswith(".")
        assert len(set(spec.labels)) == len(spec.labels)


def test_an_unknown_name_is_an_error():
    telemetry = Telemetry(CollectorRegistry())
    with pytest.raises(KeyError):
        telemetry.count("bridge_surprise_total", 1)
    with pytest.raises(KeyError):
        telemetry.observe("bridge_records_read_total", {1.0: 1}, "orders")


def test_a_counter_can_be_asked():
    telemetry = Telemetry(CollectorRegistry())
    assert telemetry.total("bridge_records_read_total", "orders") == 0
    telemetry.count("bridge_records_read_total", 3, "orders")
    telemetry.count("bridge_records_read_total", 4, "other")
    assert telemetry.total("bridge_records_read_total", "orders") == 3


@given(batches=st.lists(st.lists(st.floats(-1, 100) | st.sampled_from(SECONDS), max_size=30), max_size=6))
@example(batches=[[]])
@example(batches=[list(SECONDS)])
def test_a_histogram_counts_as_a_plain_count_does(batches):
    telemetry = Telemetry(CollectorRegistry())
    for batch in batches:
        telemetry.observe("bridge_put_seconds", Counter(batch), "orders")
    samples, values = samples_of(telemetry), [value for batch in batches for value in batch]
    if not batches:
        assert not any(name.startswith("bridge_put_seconds_") for name, _ in samples)
        return
    stream = ("stream", "orders")
    for bound in SECONDS:
        assert samples["bridge_put_seconds_bucket", (("le", str(bound)), stream)] == sum(value <= bound for value in values)
    assert samples["bridge_put_seconds_bucket", (("le", "+Inf"), stream)] == len(values)
    assert samples["bridge_put_seconds_count", (stream,)] == len(values)
    assert samples["bridge_put_seconds_sum", (stream,)] == pytest.approx(sum(values), abs=1e-6)
