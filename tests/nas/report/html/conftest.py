"""Findings without a run, with all that a report can tell, and a browser that is driven through its own pipe."""

import base64
import contextlib
import dataclasses
import io
import json
import os
import select
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from evaluators.latency import Latency
from nas.engine.scores import Noise
from nas.export.certificate import Exported
from nas.export.finals import Standing
from nas.report.html.findings import Findings
from nas.run.config import SearchConfig
from nas.run.directory import Resolved
from search_spaces import Space

SPACE = Space.parse("scale_w0.5/1+in_r28_c1+conv_k3_c16/24_s2_relu6+mb_k3/5_e3_c16_s1_se0_relu_x1/2+head_c128_relu_n10")
RESOLVED = Resolved(SPACE.text, 28, 1, 10, "0123456789abcdef", "validation: as given", 0.09, easy_accuracy=0.8)
PATIENCE_S = 120  # for an answer, on a machine that has other things to do
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def told(candidates):
    """The candidates of a search: one made by hand, one stopped, one continued, one predicted, one impossible."""
    found = [dataclasses.replace(
        one, began=BEGAN + timedelta(seconds=10 * one.trial), ended=BEGAN + timedelta(seconds=10 * one.trial + 8),
        by_hand=one.trial == 0, assignment=SPACE.sample(np.random.default_rng(one.trial)) | {
            "stage1.depth": 1 + one.trial % 2}) for one in candidates]
    found[3] = dataclasses.replace(found[3], accuracies=((1, 0.6), (2, 0.7)), reason="stopped after 2 of 10 epochs")
    found[7] = dataclasses.replace(found[7], accuracies=((1, 0.7), (10, 0.9125)))
    guessed = Latency.predicted(0.120, (0.110, 0.130))
    costs = dataclasses.replace(found[2].costs, latencies={"onnxruntime": guessed})
    found[2] = dataclasses.replace(found[2], costs=costs)
    return [*found, dataclasses.replace(found[8], trial=11, architecture="", reason="no pixel is left")]


@pytest.fixture
def found(told, budgets):
    """The findings of that search."""
    return Findings(
        name="runs/a", config=SearchConfig(latency_ms=0.09, macs=20_000_000), resolved=RESOLVED, budgets=budgets,
        told=told, candidates=[candidate for candidate in told if candidate.evaluated],
        environments=[{"written": "2026-01-01T00:00:00+00:00", "cores": 2}],
        noise=Noise(0.01, 2), unreadable={"export-2": "it has changed"},
        standings=[Standing("1", told[7].architecture, 20, 0.925, precision="int8", calibrated_log_loss=0.25),
                   Standing("2", told[1].architecture, 5, 0.85)])


@pytest.fixture
def certificate():
    """A certificate as an export writes it, of trial 1."""
    latency = {"raw_ms": 0.07, "raw_high_ms": 0.0714, "predicted": False, "median_ms": 0.07, "low_ms": 0.0686,
               "high_ms": 0.0714, "p95_ms": 0.08, "runs": 100, "duration_s": 1.0, "reference_ms": 0.04,
               "quiet_reference_ms": 0.03, "load": 0.0, "flags": ["a doubt"]}
    file = {"format": "onnx", "file": "model.onnx", "size_bytes": 1000, "sha256": "0" * 64, "target": "onnxruntime",
            "compared_images": 10, "max_abs_difference": 1e-6, "largest_logit": 3.0, "top_class_agreement": 1.0,
            "test_accuracy": 0.88, "test_accuracy_ci": (0.87, 0.89), "verdict": "met"}
    return {"trial": 1, "verdict": "met", "targets": ["onnxruntime"], "files": [file],
            "budgets": {"latency": {"quantity": "latency", "target": "onnxruntime", "limit": 0.09,
                                    "unit": "ms, upper end", "measured": 0.0714, "met": True}},
            "accuracy": {"test": 0.88, "test_ci": (0.87, 0.89), "images": 1000, "logistic_regression": 0.8},
            "training": {"images": 5000, "epochs": 20, "duration_s": 9.0},
            "timings": [{"environment": {"written": "2026-01-02T00:00:00+00:00"},
                         "latencies": {"onnxruntime": latency}}]}


@pytest.fixture
def exported(found, certificate, tmp_path):
    """The findings of the search after an export."""
    return dataclasses.replace(found, exports={"export": Exported(tmp_path, certificate)})


class Browser:
    """Chromium without a window, driven by its DevTools protocol through a pipe."""

    FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--remote-debugging-pipe")

    def __init__(self, program, directory):
        ours, theirs = os.pipe(), os.pipe()  # commands are read from descriptor 3, answers written to 4
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(ours[0]), str(theirs[1]), program, *self.FLAGS,
             f"--user-data-dir={directory}"],
            pass_fds=(ours[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (ours[0], theirs[1]):
            os.close(end)
        self.commands, self.answers = os.fdopen(ours[1], "wb", 0), os.fdopen(theirs[0], "rb")
        self.number, self.session, self.events, self.left = 0, None, [], b""

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session and not method.startswith("Target."):
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self):
        while b"\0" not in self.left:
            assert select.select([self.answers], [], [], PATIENCE_S)[0], "the browser does not answer"
            more = os.read(self.answers.fileno(), 1 << 20)
            assert more, "the browser has ended"
            self.left += more
        message, _, self.left = self.left.partition(b"\0")
        return json.loads(message)

    def open(self, page, width=1280, height=900, scheme="light", script=True):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.address = page if isinstance(page, str) else page.as_uri()
        self.call("Page.navigate", url=self.address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def complaints(self):
        """Returns errors of scripts, of the console and of the log, and what was asked of a network."""
        return [event for event in self.events if self._complains(event.get("method"), event.get("params", {}))]

    def _complains(self, method, told):
        match method:
            case "Runtime.exceptionThrown":
                return True
            case "Log.entryAdded":
                return told["entry"]["level"] == "error"
            case "Runtime.consoleAPICalled":
                return told["type"] in ("error", "warning")
            case "Network.requestWillBeSent":
                return told["request"]["url"] != self.address
        return False

    def picture(self, place, height):
        width = self.call("Page.getLayoutMetrics")["cssContentSize"]["width"]
        shot = base64.b64decode(self.call(
            "Page.captureScreenshot", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"])
        Image.open(io.BytesIO(shot)).convert("RGB").quantize(128).save(place, optimize=True)

    def close(self):
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser; where there is no Chromium, its tests are skipped: `apt-get install chromium` brings it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here; Debian's package is called chromium")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
