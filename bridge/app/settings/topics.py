"""Topic names, and patterns that everybody reads alike.

A pattern is read by three: librdkafka (`classic`: POSIX, finds it anywhere after the ^), the broker (`consumer`: RE2/J, matches
whole names), and Python, which finds the route. So only what means the same to all three is accepted.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from bridge.app.settings.units import refuse

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NOT_ALIKE = re.compile(r"\(\?|\\[A-Za-z0-9]|[*+?}][?+]|\[:")
_GROUP = re.compile(r"\([^()]*\)")


def _check_topic(value: str) -> str:
    if value.startswith("^"):
        _check_pattern(value)
    elif not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise refuse(
            "write a topic name (1 to 249 characters out of a-z, A-Z, 0-9, '.', '_' and '-'), or a pattern that begins with ^"
        )
    return value


def _check_pattern(pattern: str) -> None:
    if found := _NOT_ALIKE.search(pattern):
        raise refuse(
            f"write it without {found[0]}, which Kafka and Python do not read alike: names, '.', '*', '+', '?', [a-z], (a|b), "
            "{2,3} and a backslash before a mark are"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise refuse(f"write a valid regular expression after the ^ ({error})") from error
    if not pattern.endswith(("$", ".*")) or pattern.endswith((r"\$", r"\.*")):
        raise refuse("end it with $ or .*: Kafka's two group protocols disagree about a pattern that may stop inside a name")
    if "|" in _without_groups(pattern):
        raise refuse("put the alternatives in parentheses, such as ^(orders|payments)$: ^ and $ would belong to one of them only")


def _without_groups(pattern: str) -> str:
    while (shorter := _GROUP.sub("", pattern)) != pattern:
        pattern = shorter
    return pattern


def topic_matches(name_or_pattern: str, topic: str) -> bool:
    """Whether a name or pattern means this topic; a pattern means whole names."""
    return bool(re.fullmatch(name_or_pattern, topic)) if name_or_pattern.startswith("^") else topic == name_or_pattern


Topic = Annotated[
    str,
    AfterValidator(_check_topic),
    WithJsonSchema({"type": "string", "pattern": rf"^(\^.*(\$|\.\*)|{_TOPIC.pattern})$"}),
]
