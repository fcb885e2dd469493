"""A headless Chromium, driven over a pair of pipes in its DevTools protocol: no port, no library.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium reads commands from file 3 and writes answers to file 4.
LAUNCH = "import os, sys; r, w = map(int, sys.argv[1:3]); r, w = os.dup(r), os.dup(w)\n"
LAUNCH += "os.dup2(r, 13); os.dup2(w, 14); os.dup2(13, 3); os.dup2(14, 4)\n"
LAUNCH += "os.execv(sys.argv[3], sys.argv[3:])"

# What has `autofocus` gets the focus with the first frame, which may come after the load event.
PAINTED = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(0))))"


def find() -> str | None:
    """Return the browser of this machine, if there is one."""
    if sys.platform != "linux":
        return None
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Page:
    """One tab. ``requests`` are the addresses that it asked for, ``errors`` what its script did
    wrong.
    """

    commands: BinaryIO
    answers: BinaryIO
    session: str = ""
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _number: int = 0
    _loaded: bool = False

    def open(self, path: Path, *, width: int, height: int = 800) -> None:
        """Open a file in a window of that size, in place of what was open before."""
        if not self.session:
            self._attach()
        self._loaded = False
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._next()
        self.value(PAINTED)

    def _attach(self) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; events that come first are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression yields in the page; a promise is awaited."""
        result = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        """Press and release a key; ``text`` is what it types."""
        code = {"Tab": 9, " ": 32, "ArrowRight": 39}.get(key, 0)
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.ask("Input.insertText", text=text)

    def screenshot(self) -> bytes:
        """Return the page as it looks, as a PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def _next(self) -> Any:
        received = bytearray()
        while (character := self.answers.read(1)) != b"\0":
            assert character, "the browser has ended"
            received += character
        message = json.loads(received)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, parameters: Any) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.errors.append(parameters["entry"]["text"])


@contextmanager
def page(program: str, folder: Path) -> Iterator[Page]:
    """Run a browser that keeps everything in ``folder``, and yield its page."""
    their_input, commands = os.pipe()
    answers, their_output = os.pipe()
    options = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"]
    options += ["--no-sandbox", f"--user-data-dir={folder}", "--disable-background-networking"]
    browser = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(their_input), str(their_output), program, *options],
        pass_fds=(their_input, their_output),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(their_input)
    os.close(their_output)
    with os.fdopen(commands, "wb") as write, os.fdopen(answers, "rb") as read:
        shown = Page(write, read)
        try:
            yield shown
            shown.session = ""
            shown.ask("Browser.close")
        finally:
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
