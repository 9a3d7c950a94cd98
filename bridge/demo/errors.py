"""Why a demonstration ends without a verdict."""


class DemoError(Exception):
    """Something that the demonstration needs is missing, or did not start; the text says what to do."""


class InterruptedDemoError(Exception):
    """SIGINT, SIGTERM or SIGHUP came before the verdict."""
