"""`bridge config topics`: the bridge's own topics, for those who create topics by hand."""

import asyncio
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table

from bridge.cli.options import ConfigFile, Output, OutputOption, echo_json, exit_of_trouble, settings_or_exit
from bridge.core.topics import OF_THE_CLUSTER, TopicDefinition


def topics(config: ConfigFile, output: OutputOption = Output.TABLE) -> None:
    """Shows the bridge's own topics as they have to be, each with the command that creates it by hand.

    Needs Kafka where records may be parked: the dead-letter topic is as wide as the widest topic of the routes.
    """
    from bridge.bootstrap_jobs import internal_topics  # loads every client: not for commands that need none

    settings = settings_or_exit(config)
    with exit_of_trouble():
        found = asyncio.run(internal_topics(settings))
    servers = settings.kafka.bootstrap_servers
    if output is Output.JSON:
        echo_json([_data(definition, servers) for definition in found])
        return
    Console().print(_table(found))
    for definition in found:
        typer.echo(definition.by_hand(servers))


def _data(definition: TopicDefinition, servers: str) -> dict[str, object]:
    return {
        "name": definition.name,
        "partitions": definition.partitions,
        "replication_factor": definition.replication_factor,
        "settings": dict(definition.settings),
        "command": definition.by_hand(servers),
    }


def _table(found: Sequence[TopicDefinition]) -> Table:
    table = Table("topic", "partitions", "replicas", "settings")
    table.columns[0].overflow = "fold"
    for definition in found:
        replicas = definition.replication_factor
        settings = "\n".join(f"{name}={value}" for name, value in definition.settings.items())
        row = (str(definition.partitions), "the cluster's" if replicas == OF_THE_CLUSTER else str(replicas), settings)
        table.add_row(definition.name, *row)
    return table
