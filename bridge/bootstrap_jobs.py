"""The composition root of jobs that look at what the daemon has written, beside it or without it."""

import sys

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.dead_letter_reader import KafkaDeadLetterReader
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.adapters.system_clock import SystemClock
from bridge.app.jobs import online_check, replay
from bridge.app.jobs.directions import RouteDirection, read_directions
from bridge.app.jobs.online_check import CheckResult
from bridge.app.jobs.preflight import Asked, Preflight, RoutePreflight
from bridge.app.jobs.resume import Word
from bridge.app.jobs.resume import resume as say
from bridge.app.jobs.status import Status, read_status
from bridge.app.jobs.translate import Answer, KafkaPosition, KinesisPosition, translate_offset, translate_sequence_number
from bridge.app.ledger_reading import OnProgress
from bridge.app.log_output import configure_logging
from bridge.app.replay_line import ReplayLine
from bridge.app.routing import route_of, routed_topic
from bridge.app.service_time import ServiceTime
from bridge.app.settings import Settings
from bridge.app.telemetry import Telemetry
from bridge.bootstrap import Machine, control, dead_letters, kafka_clients, ledger, open_kinesis, stream_opener
from bridge.core.direction.resume import Resume
from bridge.core.topics import TopicDefinition
from bridge.ports import DeadLetterReader


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


async def status(settings: Settings) -> Status:
    """What the whole bridge does, from Kafka. Raises UnavailableError."""
    admin = KafkaAdmin(kafka_clients(settings))
    return await read_status(settings, admin, SystemClock())


async def directions(settings: Settings, routes: str | None) -> list[RouteDirection]:
    """The direction of each route, from Kafka. Raises UnavailableError, RefusedError."""
    kafka = kafka_clients(settings)
    return await read_directions(settings, KafkaAdmin(kafka), control(settings, kafka), SystemClock(), routes)


async def preflight(settings: Settings, asked: Asked) -> list[RoutePreflight]:
    """Whether routes could change their direction now. Raises UnavailableError, RefusedError."""
    kafka = kafka_clients(settings)
    async with open_kinesis(settings) as kinesis:
        job = Preflight(settings, KafkaTopics(kafka), kinesis.directory, control(settings, kafka), SystemClock(), asked)
        return await job.run()


async def resume(settings: Settings, word: Word) -> Resume:
    """Writes the operator's word for a halted partition. Raises UnavailableError, RefusedError."""
    kafka = kafka_clients(settings)
    return await say(settings, KafkaAdmin(kafka), control(settings, kafka), SystemClock(), word)


def dead_letter_reader(settings: Settings) -> DeadLetterReader:
    """Reads the dead-letter topic."""
    kafka = kafka_clients(settings)
    return KafkaDeadLetterReader(settings.dead_letter_topic, kafka, KafkaAdmin(kafka))


async def internal_topics(settings: Settings) -> list[TopicDefinition]:
    """How the bridge's own topics have to be; that of dead letters as the routes' topics are now. Raises UnavailableError."""
    found = [settings.ledger_definition, settings.control_definition]
    if settings.may_park:
        topics = KafkaTopics(kafka_clients(settings))
        found.append(await topics.dead_letters(settings.name, lambda name: route_of(settings, name) is not None))
    return found


async def replay_dead_letters(settings: Settings, how: replay.Replaying, on_progress: replay.OnProgress) -> list[replay.Line]:
    """Carries dead letters once more. Raises UnavailableError, RefusedError."""
    configure_logging(settings.log, sys.stderr)  # the report goes to standard output
    kafka, machine = kafka_clients(settings), Machine()
    reader, marks = dead_letter_reader(settings), dead_letters(settings, kafka, machine)
    slices = await replay.slices_of(settings, KafkaAdmin(kafka))
    try:
        async with open_kinesis(settings) as kinesis:
            open_stream = stream_opener(settings, kinesis, Telemetry(), machine.clock, ServiceTime(machine.clock))
            async with ReplayLine(open_stream, lambda topic, n: routed_topic(settings, topic, n), slices) as line:
                return await replay.replay(reader, marks, line.carry, how, on_progress)
    finally:
        await marks.close()


async def check_online(settings: Settings) -> list[CheckResult]:
    """Tries everything that the bridge needs of Kafka and Kinesis."""
    async with open_kinesis(settings) as kinesis:
        return await online_check.check_online(settings, KafkaTopics(kafka_clients(settings)), kinesis.directory)
