"""Errors of the bridge: each class says what should happen next, not what broke."""


class BridgeError(Exception):
    """Base of every error that the bridge raises on purpose."""


class UnavailableError(BridgeError):
    """An outside system cannot be used now; the same call may work later."""


class RefusedError(BridgeError):
    """An outside system answered that this may not or cannot be done; a person has to change something."""


class KeysIgnoredError(RefusedError):
    """The stream places records without regard to their partition keys, so nothing keeps its order."""


class AnswerError(BridgeError):
    """An answer does not have the shape that its API promises; nothing may be concluded from it."""
