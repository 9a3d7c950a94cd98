"""What of a route decides bytes, partition keys, lanes and policies, as a short text that changes with it."""

from dataclasses import replace

from xxhash import xxh3_64_hexdigest

from bridge.core.delivery.key_strategies import MappingSpec


def fingerprint(stream: str, spec: MappingSpec) -> str:
    """16 hexadecimal digits. What a stream takes at most is left out: it changes only what is sent from then on."""
    return xxh3_64_hexdigest(repr((stream, replace(spec, record_bytes_max=0))))
