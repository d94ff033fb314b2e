"""Drive a headless Chromium: open a page, and see what it shows once it is ready."""

import base64
import io
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image
from websockets.sync.client import connect

from tests.viewer.waiting import soon

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    # 3-D drawing without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


class Tab:
    """One page, by the protocol of Chromium's developer tools."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=None)
        self._numbers = itertools.count()

    def call(self, method: str, **words: object) -> dict:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": words}))
        while True:
            answer = json.loads(self._socket.recv(timeout=15))
            if answer.get("id") == number:
                return answer["result"]

    def screenshot(self) -> np.ndarray:
        data = base64.b64decode(self.call("Page.captureScreenshot")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def tab(
    address: str, folder: Path, *, width: int = 800, height: int = 600
) -> Iterator[Tab]:
    """Open a page in a browser of its own."""
    profile = folder / "profile"
    browser = subprocess.Popen(
        [
            str(shutil.which("chromium")),
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            address,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HOME": str(folder)},
    )
    try:
        port_file = profile / "DevToolsActivePort"
        assert soon(lambda: port_file.exists() and port_file.read_text().strip())
        port = port_file.read_text().splitlines()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=15) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        opened = Tab(pages[0]["webSocketDebuggerUrl"])
        try:
            yield opened
        finally:
            opened.close()
    finally:
        browser.terminate()
        browser.wait(timeout=15)
