"""The composition root of jobs that look at what the daemon has written, beside it or without it."""

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.app.jobs.translate import Answer, KafkaPosition, KinesisPosition, translate_offset, translate_sequence_number
from bridge.app.ledger_reading import OnProgress
from bridge.app.settings import Settings
from bridge.bootstrap import Machine, kafka_clients, ledger


async def translate(settings: Settings, asked: KafkaPosition | KinesisPosition, on_progress: OnProgress) -> Answer:
    """One position, from the ledger. Raises UnavailableError, RefusedError."""
    kafka = kafka_clients(settings)
    port, admin = ledger(settings, kafka, Machine()), KafkaAdmin(kafka)
    try:
        if isinstance(asked, KafkaPosition):
            return await translate_offset(settings, port, admin, asked, on_progress)
        return await translate_sequence_number(settings, port, admin, asked, on_progress)
    finally:
        await port.close()
