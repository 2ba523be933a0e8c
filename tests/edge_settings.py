"""What tests of the gateway's settings share: a signal of raw samples, and one of rows."""

from toolkit.contract.signals import Channel, SignalSpec

SAMPLES = SignalSpec(
    channels=(
        Channel("temperature.mean", "temperature", "mean", "degC"),
        Channel("temperature.std", "temperature", "std", "degC"),
        Channel("pressure.mean", "pressure", "mean", "Pa"),
        Channel("speed.count", "speed", "count", "1"),
    ),
    targets=("temperature.mean",),
    interval_s=10.0,
    sampling="samples",
)
ROWS = SignalSpec(
    channels=(
        Channel("temperature.mean", "temperature", "mean", "degC"),
        Channel("temperature.rms", "temperature", "rms", "degC"),
        Channel("OT", "OT", "value", "K"),
    ),
    targets=("OT",),
    interval_s=60.0,
)
