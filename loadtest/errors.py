"""What ends a run of the load tool with a message."""


class LoadTestError(Exception):
    """The run cannot begin or go on; the message says what to do."""
