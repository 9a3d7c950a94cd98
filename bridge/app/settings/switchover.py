"""`switchover`: what has to hold before a route changes its direction."""

from typing import Annotated

from pydantic import Field

from bridge.app.settings.section import Section, written
from bridge.app.settings.units import Duration, Within


class SwitchoverSettings(Section):
    """The guards of `bridge direction preflight`."""

    lag_max: Annotated[Duration, Within("1s", "1h")] = Field(
        default=written("30s"),
        description="How far a path may be behind when it is turned off: so long the change then has to drain. 30s are a few "
        "moments of work, and less than an operator would wait for by hand.",
    )
