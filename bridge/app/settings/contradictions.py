"""Values that are right by themselves and cannot stand together: each rule is one function over the draft."""

from collections.abc import Callable, Iterator

from bridge.app.settings.examination import Draft, FaultyError
from bridge.app.settings.problems import Problem
from bridge.app.settings.route import STREAM_NAME_MAX, TOPIC_PLACEHOLDER, stream_name, stream_region
from bridge.app.settings.security_rules import SECURITY_RULES
from bridge.app.settings.units import format_duration
from bridge.core.quotas import PARTITION_KEY_CHARACTERS_MAX
from bridge.core.topics import dead_letter_topic, own_topics

# `<name>:topic/partition/offset` with the widest partition and offset that Kafka can have.
_ORIGIN_DIGITS = 10 + 19
_ORIGIN_MARKS = 3
ORIGIN_NAMES_MAX = PARTITION_KEY_CHARACTERS_MAX - _ORIGIN_DIGITS - _ORIGIN_MARKS


def contradictions(draft: Draft) -> list[Problem]:
    """All of them; a rule that needs a faulty value says nothing, because that value has its own problem."""
    found: list[Problem] = []
    for rule in _RULES:
        _run(found, rule(draft))
    for index in range(draft.routes):
        for route_rule in _ROUTE_RULES:
            _run(found, route_rule(draft, f"routes[{index}]"))
    return list({(problem.path, problem.remedy): problem for problem in found}.values())


def _run(found: list[Problem], problems: Iterator[Problem]) -> None:
    try:
        found.extend(problems)
    except FaultyError:
        return


def _session_outlasts_the_drain(draft: Draft) -> Iterator[Problem]:
    if draft.value("kafka.group_protocol") != "classic":
        return
    session, request = draft.value("kafka.session_timeout"), draft.value("kinesis.request_timeout")
    interval = draft.value("commit_interval")
    needed = request + 3 * interval
    if session < needed:
        yield draft.problem(
            "kafka.session_timeout",
            f"write at least {format_duration(needed)} (kinesis.request_timeout {format_duration(request)} + 3 * commit_interval "
            f"{format_duration(interval)}), or shorten those: a drain must end before the group gives the partitions to others",
        )


def _lease_outlasts_a_request(draft: Draft) -> Iterator[Problem]:
    lease, request, interval = (draft.value(key) for key in ("lease", "kinesis.request_timeout", "commit_interval"))
    needed = request + 3 * interval
    if lease <= needed:
        yield draft.problem(
            "lease",
            f"write more than {format_duration(needed)} (kinesis.request_timeout {format_duration(request)} + 3 * "
            f"commit_interval {format_duration(interval)}), or shorten those: else it ends before it can be renewed",
        )


def _session_timeout_is_the_brokers(draft: Draft) -> Iterator[Problem]:
    if draft.value("kafka.group_protocol") == "consumer" and "kafka.session_timeout" in draft.given:
        yield draft.problem(
            "kafka.session_timeout",
            "remove it: with group_protocol consumer the broker's group.consumer.session.timeout.ms is what counts",
        )


def _ordering_needs_its_partition_key(draft: Draft, route: str) -> Iterator[Problem]:
    if draft.value(f"{route}.ordering") == "partition" and draft.value(f"{route}.partition_key") != "partition":
        yield draft.problem(
            f"{route}.ordering",
            "add partition_key: partition to this route, or write ordering: key: a Kafka partition stays in order only where it "
            "goes to one shard as a whole",
        )


def _origin_fits(draft: Draft, route: str) -> Iterator[Problem]:
    name, topic = draft.value("name"), draft.value(f"{route}.topic")
    if not draft.value(f"{route}.carry_origin") or topic.startswith("^"):
        return
    if (over := len(name) + len(topic) - ORIGIN_NAMES_MAX) > 0:
        yield draft.problem(
            f"{route}.carry_origin",
            f"write false, or a name that is {over} shorter: <name>:topic/partition/offset must fit in "
            f"{PARTITION_KEY_CHARACTERS_MAX} characters, so name and topic may have {ORIGIN_NAMES_MAX} together",
        )


def _stream_name_fits(draft: Draft, route: str) -> Iterator[Problem]:
    topic, stream = draft.value(f"{route}.topic"), draft.value(f"{route}.stream")
    if topic.startswith("^"):
        return
    name = stream_name(stream.replace(TOPIC_PLACEHOLDER, topic))
    if len(name) > STREAM_NAME_MAX:
        yield draft.problem(
            f"{route}.stream", f"write a shorter one: {name} has {len(name)} characters, Kinesis allows {STREAM_NAME_MAX}"
        )


def _arn_is_in_the_region(draft: Draft, route: str) -> Iterator[Problem]:
    region, arn_region = draft.value("kinesis.region"), stream_region(draft.value(f"{route}.stream"))
    # Another endpoint may be an emulator that puts a region of its own into its ARNs.
    if arn_region and arn_region != region and draft.value("kinesis.endpoint_url") is None:
        yield draft.problem(
            f"{route}.stream", f"write the ARN of a stream in {region} (kinesis.region); one bridge writes to one region"
        )


def _one_route_per_topic(draft: Draft, route: str) -> Iterator[Problem]:
    """Reported at the later of the two routes."""
    mine = draft.value(f"{route}.topic")
    for index in range(draft.routes):
        other_path = f"routes[{index}]"
        if other_path == route:
            return
        try:
            other = draft.value(f"{other_path}.topic")
        except FaultyError:
            continue
        if mine == other:
            yield draft.problem(f"{route}.topic", f"remove one: {other_path} has it already; a topic feeds one stream per bridge")
            return


def _external_id_needs_a_role(draft: Draft) -> Iterator[Problem]:
    if draft.value("kinesis.external_id") is not None and draft.value("kinesis.role_arn") is None:
        yield draft.problem("kinesis.external_id", "write kinesis.role_arn too, or remove it: an external ID belongs to a role")


def _own_topics_stay_out(draft: Draft, route: str) -> Iterator[Problem]:
    """A pattern may mean them: they are no topics of its route."""
    topic, name = draft.value(f"{route}.topic"), draft.value("name")
    if topic == dead_letter_topic(name):
        yield draft.problem(
            f"{route}.topic",
            "remove this route: the bridge parks there what it cannot carry, and would go round in circles; "
            "`bridge dlq replay` carries dead letters",
        )
    elif topic in own_topics(name):
        yield draft.problem(
            f"{route}.topic", "remove this route: the bridge writes there of what it carries, and would never end"
        )


_RULES: tuple[Callable[[Draft], Iterator[Problem]], ...] = (
    _session_outlasts_the_drain,
    _lease_outlasts_a_request,
    _session_timeout_is_the_brokers,
    _external_id_needs_a_role,
    *SECURITY_RULES,
)


def _one_share_per_stream(draft: Draft, route: str) -> Iterator[Problem]:
    stream, share = draft.value(f"{route}.stream"), draft.value(f"{route}.shard_share")
    for index in range(draft.routes):
        other = f"routes[{index}]"
        if other == route:
            return
        if draft.value(f"{other}.stream") == stream and draft.value(f"{other}.shard_share") != share:
            yield draft.problem(
                f"{route}.shard_share",
                f"write the same value as in {other}: both routes feed {stream}, and its shards have one budget",
            )
            return


_ROUTE_RULES: tuple[Callable[[Draft, str], Iterator[Problem]], ...] = (
    _ordering_needs_its_partition_key,
    _origin_fits,
    _stream_name_fits,
    _arn_is_in_the_region,
    _one_route_per_topic,
    _one_share_per_stream,
    _own_topics_stay_out,
)
