"""`mqtt://host:port` and `mqtts://host:port`: how a command line names a broker."""

from urllib.parse import urlsplit

from toolkit.edge.settings import Broker, Tls
from toolkit.errors import ConfigError

PORTS = {"mqtt": 1883, "mqtts": 8883}
"""As the Internet Assigned Numbers Authority has them: in clear, and over TLS."""


def broker_from_url(url: str, *, client_id: str, username: str = "", password: str = "", ca_file: str = "") -> Broker:
    """The connection that a URL names; a second after the client has gone, the broker has forgotten it.

    Args:
        url: without a user: a command line is seen by everyone on the machine.
        client_id: unique at the broker.
        username: "" for none.
        password: "" for none.
        ca_file: PEM file of the authorities to trust; "" means the system's. Of use with `mqtts` alone.

    Raises:
        ConfigError: no such URL, a user in it, or a file of authorities for a connection in clear.
    """
    allowed = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("the broker's URL cannot be read", allowed=allowed) from None
    if "@" in parts.netloc:
        raise ConfigError(
            "the broker's URL holds a user", allowed=allowed, fix="--user NAME, and MQTT_PASSWORD in the environment"
        )
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or parts.query or parts.fragment or port == 0:
        raise ConfigError("the broker's URL", got=repr(url), allowed=allowed)
    if ca_file and parts.scheme != "mqtts":
        raise ConfigError("authorities are given for a connection in clear", got=repr(url), fix="mqtts://...")
    return Broker(
        host=host,
        port=port or PORTS[parts.scheme],
        client_id=client_id,
        username=username,
        password=password,
        tls=Tls(ca_file=ca_file) if parts.scheme == "mqtts" else None,
        session_expiry_s=1,
    )
