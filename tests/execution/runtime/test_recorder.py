"""What a task did while it ran."""

from __future__ import annotations

import logging
import threading

import pytest
import rasterio
from rasterio.errors import RasterioIOError

from geobatch_tui.execution.runtime import recorder as recorder_module
from geobatch_tui.execution.runtime.recorder import Recorder, expected_gdal_errors, listen_to_gdal


@pytest.fixture
def recorder():
    loggers = [logging.getLogger(name) for name in ("rasterio._err", "rasterio._env")]
    before = [(list(log.handlers), log.level, log.propagate) for log in loggers]
    listen_to_gdal()
    recorder = Recorder()
    recorder.begin()
    yield recorder
    for log, (handlers, level, propagate) in zip(loggers, before, strict=True):
        log.handlers[:] = handlers
        log.setLevel(level)
        log.propagate = propagate


def test_stages_exclude_each_other(recorder, monkeypatch):
    """Time inside an inner stage is not the outer one's: the sum is the wall time."""
    clock = iter((0.0, 2.0, 7.0, 8.0, 13.0, 17.0))
    monkeypatch.setattr(recorder_module, "perf_counter", lambda: next(clock))
    with recorder.stage("outer"):
        with recorder.stage("inner"):
            pass
        with recorder.stage("inner"):
            pass
    assert recorder.seconds == {"outer": 2.0 + 1.0 + 4.0, "inner": 5.0 + 5.0}


def test_failed_stage_is_the_innermost(recorder):
    """A failure knows the stage in which it was raised, and the next task does not."""
    with pytest.raises(ValueError, match="x"), recorder.stage("a"), recorder.stage("b"):
        raise ValueError("x")
    assert recorder.current_stage == "b"
    recorder.begin()
    assert recorder.current_stage == ""


def test_gdal_failure_is_collected(recorder, tmp_path):
    """An error that GDAL signals is kept with its number, though rasterio logs it as INFO."""
    with pytest.raises(RasterioIOError):
        rasterio.open(tmp_path / "missing.tif")
    assert [(m.number, m.failed) for m in recorder.messages] == [(4, True)]
    assert "missing.tif" in recorder.messages[0].text


def test_expected_errors_are_forgotten(recorder, tmp_path):
    """Errors inside the block are dropped; those before it stay."""
    with pytest.raises(RasterioIOError):
        rasterio.open(tmp_path / "one.tif")
    with expected_gdal_errors(), pytest.raises(RasterioIOError):
        rasterio.open(tmp_path / "two.tif")
    assert ["one.tif" in m.text for m in recorder.messages] == [True]


def test_a_named_warning_is_forgotten_too(recorder):
    log = logging.getLogger("rasterio._env")
    with expected_gdal_errors(warning="AREA"):
        log.warning("does not support option AREA")
        log.warning("another one")
    assert [m.text for m in recorder.messages] == ["another one"]


def test_messages_belong_to_their_thread(recorder):
    """What another thread's task says is not this one's."""
    other = Recorder()

    def run():
        other.begin()
        logging.getLogger("rasterio._env").warning("theirs")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    logging.getLogger("rasterio._env").error("ours")
    assert [(m.text, m.failed) for m in recorder.messages] == [("ours", True)]
    assert [(m.text, m.failed) for m in other.messages] == [("theirs", False)]


def test_flood_of_messages_is_bounded(recorder):
    """The first messages are kept, as they tell the cause."""
    for number in range(1000):
        logging.getLogger("rasterio._env").warning("%d", number)
    assert [m.text for m in recorder.messages] == [str(number) for number in range(200)]
