"""One headless Chromium, driven over the DevTools protocol: just enough to click through pages."""

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--remote-debugging-port=0",
)
TIMEOUT_S = 60.0


@contextmanager
def chromium(profile):
    """A browser with an empty page, closed at the end."""
    command = [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = _address(Path(profile) / "DevToolsActivePort", process)
            with connect(address, max_size=None, compression=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(file, process):
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        lines = file.read_text().split("\n") if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise RuntimeError("Expected Chromium to open a DevTools port, found none.")


class Browser:
    """A tab: what it shows, what its console says, what it asks the network for."""

    def __init__(self, socket):
        self._socket, self._ids, self._events = socket, itertools.count(1), deque()
        self._session = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self.complaints, self.requests = [], []

    def look(self, *, width, height=900, scheme="light", reduced_motion=True):
        """Show pages at that size from now on, in that colour scheme."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        motion = "reduce" if reduced_motion else "no-preference"
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self._call("Emulation.setEmulatedMedia", features=features)

    def open(self, path):
        """Show a file and wait until it is loaded; forgets earlier complaints and requests."""
        self.visit(Path(path).as_uri())

    def visit(self, url):
        """The same for any address."""
        self.complaints, self.requests = [], []
        self._events.clear()
        self._call("Page.navigate", url=url)
        self.wait_until_loaded()

    def wait_until_loaded(self):
        self._until(lambda event: event["method"] == "Page.loadEventFired")

    def run(self, script):
        """The value of a JavaScript expression; promises are awaited."""
        answer = self._call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def follow(self, selector):
        """Click a link and wait for the page behind it."""
        self._events.clear()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self.wait_until_loaded()

    def press(self, key, code=0):
        for kind in ("rawKeyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def screenshot(self, path, *, whole=True):
        """The page as a picture, for people."""
        metrics = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": metrics["width"], "height": metrics["height"], "scale": 1}
        picture = self._call(
            "Page.captureScreenshot",
            captureBeyondViewport=whole,
            **({"clip": clip} if whole else {}),
        )
        Path(path).write_bytes(base64.b64decode(picture["data"]))

    def _call(self, method, **parameters):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _until(self, is_it):
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            while self._events:
                if is_it(self._events.popleft()):
                    return
            self._receive()
        raise AssertionError("Expected an event of the browser, found none in time.")

    def _receive(self):
        answer = json.loads(self._socket.recv(timeout=TIMEOUT_S))
        if "method" in answer and answer.get("sessionId") == self._session:
            self._note(answer["method"], answer["params"])
            self._events.append(answer)
        return answer

    def _note(self, method, parameters):
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(str(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])
