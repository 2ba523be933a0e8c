"""What `gateway check` and `gateway init` say of gaps that a gateway cannot fill as training did."""

from collections.abc import Sequence

NAMED = 3
"""Columns whose names are told; a bundle may have dozens."""


def gap_notes(interpolated: Sequence[str]) -> tuple[str, ...]:
    """One line where training drew lines across gaps, none otherwise.

    Args:
        interpolated: names of the columns; see `GatewayPlan.interpolated`.
    """
    if not interpolated:
        return ()
    more = f" and {len(interpolated) - NAMED} more" if len(interpolated) > NAMED else ""
    return (
        f"training drew a line across short gaps of {', '.join(interpolated[:NAMED])}{more} (interpolate); that needs "
        "the reading behind the gap, which a gateway has not got yet: here such a gap ends the series, and forecasts "
        'pause until it has warmed up again; fix: missing = "hold:N" in the [limits] of these columns, or data.gaps = '
        '"hold:N" in training',
    )
