"""Stands between gateway and broker and writes down what the gateway has acknowledged: the ledger of the fault rounds.

    python benchmarks/gateway_tap.py --listen 1884 --port 1883 --ledger acknowledged.log

Each line is the place in the order of deliveries, topic and payload, written when the gateway's acknowledgement passes
and before it is handed on. A sample whose acknowledgement a fault took may stand twice; its first place counts. With
`--deliveries` it is written when it is handed to the gateway instead: what a gateway has read and that lives on becomes
durable, also where the broker dies and never hears of it.
"""

import argparse
import contextlib
import selectors
import signal
import socket
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO

from gateway_wire import PUBACK, PUBLISH, Packets, read_publish


@dataclass
class Connection:
    """Both ends of one, and what has come through it."""

    gateway: socket.socket
    broker: socket.socket
    down: Packets = field(default_factory=Packets)
    up: Packets = field(default_factory=Packets)
    waiting: dict[int, tuple[int, bytes, bytes]] = field(default_factory=dict)


class Tap:
    """Hands bytes on, both ways, and reads along."""

    def __init__(
        self, listen: tuple[str, int], broker: tuple[str, int], ledger: BinaryIO, *, deliveries: bool = False
    ) -> None:
        self._server = socket.create_server(listen, reuse_port=False)
        self._broker, self._ledger, self._deliveries = broker, ledger, deliveries
        self._selector, self._stopped, self._delivered = selectors.DefaultSelector(), False, count()
        self._selector.register(self._server, selectors.EVENT_READ)

    def stop(self, *signal_and_frame: object) -> None:
        """Ends `run`."""
        self._stopped = True

    def run(self) -> None:
        """Until it is stopped."""
        while not self._stopped:
            for key, _ in self._selector.select(0.2):
                if key.data is None:
                    self._accept()
                elif key.fileobj.fileno() >= 0:  # the other end may have been closed in this turn
                    self._hand_on(key.fileobj, key.data)
        self._ledger.close()

    def _accept(self) -> None:
        gateway, _ = self._server.accept()
        try:
            broker = socket.create_connection(self._broker, timeout=2.0)
        except OSError:
            gateway.close()
            return
        connection = Connection(gateway, broker)
        for end in (gateway, broker):
            end.settimeout(30.0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(end, selectors.EVENT_READ, connection)

    def _hand_on(self, source: socket.socket, connection: Connection) -> None:
        downward = source is connection.broker
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._end(connection, downward=downward)
            return
        self._read_along(data, connection, downward=downward)
        try:
            (connection.gateway if downward else connection.broker).sendall(data)
        except OSError:
            if downward:
                self._end(connection, downward=False)

    def _end(self, connection: Connection, *, downward: bool) -> None:
        """Where the broker has gone, the gateway reads to the end what was on its way: nothing is reset under it."""
        ends = [connection.broker, connection.gateway]
        if downward:
            with contextlib.suppress(OSError):
                connection.gateway.shutdown(socket.SHUT_WR)
                ends = [connection.broker]
        for end in ends:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()

    def _read_along(self, data: bytes, connection: Connection, *, downward: bool) -> None:
        if downward:
            came = [read_publish(packet) for packet in connection.down.cut(data) if packet.kind == PUBLISH]
            told = [(one.identifier, (next(self._delivered), one.topic, one.payload)) for one in came]
            connection.waiting.update(told)
            if self._deliveries:
                self._write([entry for _, entry in told])
            return
        answers = [packet for packet in connection.up.cut(data) if packet.kind == PUBACK]
        known = [connection.waiting.pop(int.from_bytes(packet.body[:2], "big"), None) for packet in answers]
        if not self._deliveries:
            self._write([entry for entry in known if entry])

    def _write(self, entries: list[tuple[int, bytes, bytes]]) -> None:
        self._ledger.write(b"".join(b"%d %s %s\n" % entry for entry in entries))
        self._ledger.flush()


def deliveries(ledger: Path) -> int:
    """How many messages the broker had handed over, up to the last that was acknowledged."""
    return 1 + max(int(line.partition(b" ")[0]) for line in ledger.read_bytes().splitlines())


def acknowledged(ledger: Path) -> list[tuple[str, bytes]]:
    """Topic and payload of each sample that the gateway has acknowledged, once, in the order of first delivery."""
    first: dict[tuple[bytes, bytes], int] = {}
    for line in ledger.read_bytes().splitlines():
        place, topic, payload = line.split(b" ", 2)
        key = (topic, payload)
        first[key] = min(first.get(key, int(place)), int(place))
    ordered = sorted(first, key=first.__getitem__)
    return [(topic.decode(), payload) for topic, payload in ordered]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--listen-host", default="127.0.0.1")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--deliveries", action="store_true", help="write what is delivered, acknowledged or not")
    options = parser.parse_args()
    with options.ledger.open("ab") as ledger:
        tap = Tap(
            (options.listen_host, options.listen), (options.host, options.port), ledger, deliveries=options.deliveries
        )
        signal.signal(signal.SIGTERM, tap.stop)
        tap.run()


if __name__ == "__main__":
    main()
