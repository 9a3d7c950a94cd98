"""Dual-write bridge between Apache Kafka and Amazon Kinesis Data Streams."""

__version__ = "0.1.0"
