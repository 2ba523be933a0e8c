"""The main job on simulated pump stations: what `demo` runs and what the reference bundle is made of."""

from pathlib import Path

from toolkit import atomic_files
from toolkit.benchmark.bundle import BenchmarkPlan
from toolkit.contract.latency_reports import LatencyReport
from toolkit.data.config import DataConfig
from toolkit.data.plant_files import write_plant
from toolkit.parity.contender import benchmark_beside_torch
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.provider_choice import cpu_and_cuda
from toolkit.signal.plant import CHANNELS, simulate_plant
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig

TARGETS = ("temperature.mean", "pressure.mean", "vibration.mean")
WINDOW_LENGTH, HORIZON = 60, 12


def write_demo_plant(path: Path) -> str:
    """Simulates four pump stations for a week, without faults, and writes their table.

    Returns:
        A line that says what was written.

    Raises:
        OutputError: the place cannot be written.
    """
    atomic_files.make_folder(path.parent)
    table = simulate_plant(faults=False)
    write_plant(table, path, overwrite=True)
    return f"{path}: {len(table.times_us)} rows, {len(table.assets)} pump stations, {len(table.channels)} channels"


def demo_config(path: Path, *, max_epochs: int = 8, stride: int = 4) -> RunConfig:
    """The demo's configuration: an hour of nine channels in, the three means of the next twelve minutes out.

    Args:
        path: the table that `write_demo_plant` wrote.
        max_epochs: passes over the training windows.
        stride: every how many rows a training window starts; 4 keeps the demo short.
    """
    data = DataConfig(
        file=str(path),
        timestamp="timestamp",
        asset="asset",
        exclude=("fault",),
        targets=TARGETS,
        units={channel.name: channel.unit for channel in CHANNELS},
        window_length=WINDOW_LENGTH,
        horizon=HORIZON,
        stride=stride,
    )
    return RunConfig(
        data, ModelConfig(streaming=True), TrainConfig(max_epochs=max_epochs, learning_rate=3e-3, batch_size=128)
    )


def benchmark_demo(bundle: Path) -> LatencyReport:
    """The bundle's latency beside torch's, at batch 1 and 64, on the CPU and, where it runs, CUDA."""
    providers, notes = cpu_and_cuda()
    return benchmark_beside_torch(load_bundle(bundle), BenchmarkPlan(providers=providers), notes)
