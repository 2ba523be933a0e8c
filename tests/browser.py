"""Debian's chromium without a window, driven over its DevTools protocol by two pipes: no port, no package.

A browser that fails to answer is killed with its children. No host name resolves in it: a page that asks for something
asks in vain, and the request is seen.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

ANSWER_S = 60.0
"""For one answer; a shared machine may be slow, and a dead browser closes its pipe at once."""
MOST_SHOT_PX = 16_000
"""What a screenshot is cut to: the browser draws no surface of 16,384 pixels."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # which refuses to start as root, as tests in a container run
    "--disable-gpu",
    "--disable-dev-shm-usage",  # 64 MB in many containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


def chromium() -> str:
    """The browser's path; the test is skipped where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install --no-install-recommends chromium)")
    return found


class BrowserError(Exception):
    """The browser refused a command, did not answer, or ended."""


class Browser:
    """A running chromium; to be used in a `with` statement, which ends it."""

    def __init__(self, scratch: Path) -> None:
        self._program = chromium()
        self._scratch = scratch
        self._numbers = itertools.count(1)
        self._received = bytearray()
        self.pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        self._scratch.mkdir(parents=True, exist_ok=True)
        (their_in, self._out), (self._in, their_out) = _high_pipe(), _high_pipe()
        # The protocol's pipes are descriptors 3 and 4 by definition, which subprocess cannot say.
        shell = ("bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out} {their_in}<&- {their_out}>&-', "chromium")
        command = (*shell, self._program, *FLAGS, f"--user-data-dir={self._scratch / 'profile'}", "about:blank")
        with (self._scratch / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(their_in, their_out),
                start_new_session=True,
                env={**os.environ, "HOME": str(self._scratch)},
            )
        os.close(their_in)
        os.close(their_out)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrowserError):
            self.call("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        """Sends a command and waits for its answer; events that come before it go to their pages."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        deadline = time.monotonic() + ANSWER_S
        self._send(json.dumps(command).encode() + b"\0", method)
        while True:
            message = self._next(deadline, method)
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']}")
                return dict(message["result"])

    def wait_for(self, event: str, page: "Page") -> None:
        """Waits until the page was told of an event, which may have come already."""
        deadline = time.monotonic() + ANSWER_S
        while event not in page.seen:
            self._next(deadline, event)

    def page(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> "Page":
        """An empty page of that size in CSS pixels, whose reader prefers light or dark; a phone obeys `viewport`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = str(self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        page = self.pages[session] = Page(self, session, str(target), width)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            page.call(f"{domain}.enable")
        page.resize(width, height, phone=phone)
        page.prefer(dark=dark)
        return page

    def _send(self, content: bytes, method: str) -> None:
        try:
            while content:
                content = content[os.write(self._out, content) :]
        except BrokenPipeError as error:
            raise BrowserError(f"{method}: the browser has ended; {self._last_words()}") from error

    def _next(self, deadline: float, what: str) -> dict[str, Any]:
        """The next message; one that belongs to a page is noted there."""
        while (end := self._received.find(b"\0")) < 0:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise BrowserError(f"{what}: no answer within {ANSWER_S:g} s; {self._last_words()}")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise BrowserError(f"{what}: the browser has ended; {self._last_words()}")
            self._received += read
        message: dict[str, Any] = json.loads(self._received[:end])
        del self._received[: end + 1]
        page = self.pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.note(message["method"], message["params"])
        return message

    def _last_words(self) -> str:
        return (self._scratch / "chromium.log").read_text("utf-8", "replace")[-600:]


@dataclass
class Page:
    """One tab, and what happened in it since it was last sent somewhere.

    Attributes:
        browser: whose tab it is.
        session: the protocol's name for the connection to it.
        target: the protocol's name for the tab.
        width: of its window, in CSS pixels.
        complaints: what its console says of errors and warnings, exceptions, refusals of its security policy.
        requests: every address that it asked for.
        seen: names of the protocol's events.
    """

    browser: Browser
    session: str
    target: str
    width: int
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """A command of the protocol to this page."""
        return self.browser.call(method, self.session, **parameters)

    def note(self, event: str, told: dict[str, Any]) -> None:
        """Keeps what an event tells."""
        self.seen.add(event)
        if event == "Network.requestWillBeSent":
            self.requests.append(str(told["request"]["url"]))
        elif event == "Log.entryAdded":
            self.complaints.append(f"{told['entry']['level']}: {told['entry']['text']}")
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {told['exceptionDetails'].get('text')}")
        elif event == "Runtime.consoleAPICalled":
            words = " ".join(str(one.get("value", one.get("description"))) for one in told["args"])
            self.complaints.append(f"console.{told['type']}: {words}")

    def show(self, file: Path) -> Self:
        """Loads a local file, and waits until it and all that it asks for has come or failed."""
        self.complaints.clear()
        self.requests.clear()
        self.seen.clear()
        answer = self.call("Page.navigate", url=file.resolve().as_uri())
        if answer.get("errorText"):
            raise BrowserError(f"cannot show {file}: {answer['errorText']}")
        self.browser.wait_for("Page.loadEventFired", self)
        self.run("document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => done(true))))")
        return self

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, of a promise what it came to."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{answer['exceptionDetails']['exception'].get('description', answer)}"[:2000])
        return answer["result"].get("value")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Another size of the window."""
        self.width = width
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, *, dark: bool = False, paper: bool = False) -> None:
        """What the reader's screen prefers, or that the page is on paper."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])

    def pictures_told(self) -> list[str]:
        """The name by which a screen reader announces each picture; "" for one that has none."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        pictures = [
            node for node in nodes if node.get("role", {}).get("value") in ("image", "img", "graphics-document")
        ]
        return [str(node.get("name", {}).get("value", "")) for node in pictures if not node.get("ignored")]

    def screenshot(self, file: Path) -> Path:
        """The whole page as PNG, from its top."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self.width, "height": min(size["height"], MOST_SHOT_PX), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))
        return file

    def pdf(self, file: Path) -> Path:
        """The page as it is printed, on A4."""
        printed = self.call("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69)
        file.write_bytes(base64.b64decode(printed["data"]))
        return file

    def close(self) -> None:
        """The tab goes."""
        self.browser.call("Target.closeTarget", targetId=self.target)
        del self.browser.pages[self.session]


@contextlib.contextmanager
def opened(browser: Browser, file: Path, width: int, *, dark: bool = False) -> Iterator[Page]:
    """A local file in a window of that width: of a phone where it is as narrow as one."""
    page = browser.page(width, 900, dark=dark, phone=width < 600)
    try:
        yield page.show(file)
    finally:
        page.close()


def _high_pipe() -> tuple[int, int]:
    """A pipe whose ends are not the descriptors 3 and 4 that its other side is to have."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return high[0], high[1]
