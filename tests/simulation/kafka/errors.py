"""Kafka's errors, made in one place."""

from confluent_kafka import KafkaError, KafkaException


def error(code: int, text: str | None = None) -> KafkaError:
    """With the client library's own words where there are no others."""
    return KafkaError(code) if text is None else KafkaError(code, text)


def exception(code: int, text: str | None = None) -> KafkaException:
    return KafkaException(error(code, text))


class Refused(Exception):
    """What a request is answered with that the broker does not carry out."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
