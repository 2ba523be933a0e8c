"""A broker, a gateway and a simulated plant on one machine, until some forecasts have come; then all of it ends.

Needs mosquitto (Debian: apt-get install mosquitto) and no torch. Run it: python examples/gateway.py
"""

import argparse
import json
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

COMMAND = (sys.executable, "-c", "from toolkit.cli.main import main; main()")
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
BUNDLE = Path(__file__).resolve().parent.parent / "exported" / "pump-station"
PATIENCE_S = 60.0


def main(bundle: Path, forecasts: int = 8, speed: float = 3600.0) -> list[dict[str, Any]]:
    """Gives the first forecasts, as the gateway published them; `speed` is seconds of the plant in one of ours."""
    heard: queue.Queue[tuple[str, str]] = queue.Queue()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        stack.enter_context(running([mosquitto(), "-c", str(broker_config(folder, port))]))
        wait_for(port)
        init = [*COMMAND, "gateway", "init", str(bundle), "--out", str(folder), "--no-service"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        config = gateway_config(folder / "gateway.toml", port)
        stack.enter_context(listening(port, heard))
        stack.enter_context(running([*COMMAND, "gateway", "run", str(config)]))
        wait_until_online(heard)
        plant = ["simulate", "--mqtt", f"mqtt://127.0.0.1:{port}", "--bundle", str(bundle), "--speed", f"{speed:g}"]
        stack.enter_context(running([*COMMAND, *plant, "--days", "1"]))
        return [json.loads(heard.get(timeout=PATIENCE_S)[1]) for _ in range(forecasts)]


def mosquitto() -> str:
    """Where Debian puts it is not on every user's path."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)
    if found is None:
        raise SystemExit("mosquitto is not installed; fix: apt-get install mosquitto")
    return found


def free_port() -> int:
    """A port of the loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broker_config(folder: Path, port: int) -> Path:
    """A broker for this machine alone; what `gateway init` proposes has TLS and passwords."""
    config = folder / "broker.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    return config


def gateway_config(config: Path, port: int) -> Path:
    """What `gateway init` wrote, with ports that are free."""
    text = config.read_text().replace("#port = 1883", f"port = {port}").replace("#port = 9273", "port = 0")
    config.write_text(text)
    return config


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """A process that is told to stop at the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def wait_until_online(heard: "queue.Queue[tuple[str, str]]") -> None:
    """The gateway says so, retained, once it has subscribed: what comes earlier would not reach it."""
    while heard.get(timeout=PATIENCE_S)[1] != "online":
        pass


@contextmanager
def listening(port: int, heard: "queue.Queue[tuple[str, str]]") -> Iterator[None]:
    """Every forecast, and whether the gateway is there, goes into the queue: topic and payload."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda *_: client.subscribe([("forecast/#", 1), ("+/status", 1)])
    client.on_message = lambda _client, _data, message: heard.put((message.topic, message.payload.decode()))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--forecasts", type=int, default=8, help="How many to wait for.")
    parser.add_argument("--speed", type=float, default=3600.0, help="Seconds of the plant in one of ours.")
    for forecast in main(**vars(parser.parse_args())):
        print(forecast["asset"], "at", forecast["interval_end"])
        for name, target in forecast["forecast"].items():
            print(f"  {name:18s}", *(f"{value:.6g}" for value in target["values"]), target["unit"])
