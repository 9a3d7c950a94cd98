"""What is allowed and still worth a second thought."""

from collections.abc import Iterator

from bridge.app.settings.contradictions import ORIGIN_NAMES_MAX
from bridge.app.settings.model import Settings
from bridge.app.settings.problems import Problem
from bridge.app.settings.route import FieldTemplate, Route
from bridge.app.settings.units import format_size


def warnings(settings: Settings) -> list[Problem]:
    """None of them keeps the bridge from starting."""
    found = [
        problem for index, route in enumerate(settings.routes) for problem in _route_warnings(settings, route, f"routes[{index}]")
    ]
    found.extend(_overlaps(settings))
    found.extend(_open_connections(settings))
    if settings.buffer_bytes_max < settings.kinesis.request_bytes_max:
        found.append(
            Problem(
                "buffer_bytes_max",
                format_size(settings.buffer_bytes_max),
                f"write more than kinesis.request_bytes_max ({format_size(settings.kinesis.request_bytes_max)}): below it no "
                "request is ever full",
            )
        )
    return found


def _open_connections(settings: Settings) -> Iterator[Problem]:
    security, properties = settings.kafka.security, settings.kafka.librdkafka_properties()
    if security.protocol == "SASL_PLAINTEXT" and security.mechanism == "PLAIN":
        yield Problem(
            "kafka.security.protocol",
            security.protocol,
            "write SASL_SSL where the brokers have such a listener: PLAIN sends the password, which anyone on the way can read",
        )
    for name, harmful in _CHECKS_TURNED_OFF.items():
        if str(properties.get(name, "")).lower() in harmful:
            yield Problem(
                f"kafka.properties.{name}",
                properties[name],
                "remove it, and write kafka.security.ca_file where the authority is your own: without this check anyone on the "
                "way can pose as the broker",
            )


_CHECKS_TURNED_OFF = {
    "enable.ssl.certificate.verification": ("false", "0", "f"),
    "ssl.endpoint.identification.algorithm": ("none",),
}


def _overlaps(settings: Settings) -> Iterator[Problem]:
    exact = [(index, route.topic) for index, route in enumerate(settings.routes) if not route.is_pattern]
    for index, route in enumerate(settings.routes):
        for exact_index, topic in exact if route.is_pattern else ():
            if route.matches(topic):
                yield Problem(
                    f"routes[{index}].topic",
                    route.topic,
                    f"expect {topic} to go by routes[{exact_index}], which names it: an exact name comes before a pattern",
                )


def _route_warnings(settings: Settings, route: Route, path: str) -> Iterator[Problem]:
    if route.ordering == "partition" and route.format == "raw":
        yield Problem(
            f"{path}.ordering",
            route.ordering,
            "expect one record per round trip and partition: 1000 / round trip in ms records a second (50 at 20 ms); write "
            "ordering: key where order per key is enough, or format: aggregated where consumers can open it",
        )
    yield from _idle_keys(settings, route, path)
    if route.carry_origin and route.is_pattern:
        longest = ORIGIN_NAMES_MAX - len(settings.name)
        if longest < 249:
            yield Problem(
                f"{path}.carry_origin",
                route.carry_origin,
                f"keep the names of matching topics within {longest} characters: the origin of longer ones does not fit",
            )


def _idle_keys(settings: Settings, route: Route, path: str) -> Iterator[Problem]:
    """A key for what cannot happen on this route. One of `defaults` is meant for others."""
    of_the_route = route.model_fields_set - settings.defaults.model_fields_set
    for key in ("aggregate_bytes_max", "aggregate_records_max"):
        if key in of_the_route and route.format == "raw":
            yield Problem(f"{path}.{key}", getattr(route, key), "write format: aggregated too, or remove it")
    if "on_missing_field" in of_the_route and not isinstance(route.partition_key, FieldTemplate):
        yield Problem(
            f"{path}.on_missing_field",
            route.on_missing_field,
            "write partition_key: {field: ...} too, or remove it: no other partition key is made of fields",
        )
