"""What an error says that was raised without a message."""

from __future__ import annotations

import pytest

from geobatch_tui.errors import CrsError, GeobatchError, TransientError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GeobatchError, "Base of every error that geobatch raises on purpose."),
        (TransientError, "Failed for now."),
        (CrsError, "The coordinate reference system is missing, unknown or unfit."),
    ],
)
def test_a_class_speaks_for_its_errors(error, message):
    """The sentence that its docstring begins with, and nothing about arguments."""
    assert error().message == message
