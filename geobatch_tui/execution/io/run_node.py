"""The node that this process works for, where a run has several: its name, which files bear, and
whether the run still counts it in.

The engine keeps a file for each node, its pass, which it removes once the node is lost or the run
is over. Others do then what the node had, so its processes may leave no finished file behind: they
look for the pass before they begin one, and again once it is complete, when they remove it. What
they leave if they are killed in between, the engine removes: it looks only after it took the pass.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from geobatch_tui.errors import ClusterError


@dataclass(frozen=True, slots=True)
class RunNode:
    """``name``: of the node in its run; ``pass_file``: path of its pass. Empty: there is one
    machine."""

    name: str = ""
    pass_file: str = ""


_node = RunNode()


def enter_node(node: RunNode) -> None:
    """Say which node this process works for: on two of them processes may have the same number."""
    global _node  # noqa: PLW0603 - the state of the process: it works for one run
    _node = node


def require_pass() -> None:
    """Raise ClusterError if the run counts this node in no more.

    The file is opened, as a network filesystem answers a mere look from memory."""
    if not _node.pass_file:
        return
    try:
        os.close(os.open(_node.pass_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        raise ClusterError(
            f"the node {_node.name} is no part of the run any more ({error.strerror}): "
            "others do its work"
        ) from error


def node_suffix() -> str:
    """Return the node's name after a dot; nothing where there is one machine."""
    return f".{_node.name}" if _node.name else ""


def writer_name() -> str:
    """Return a name that no other thread which writes at this time has, on any node."""
    node = f"{_node.name}-" if _node.name else ""
    return f"{node}{os.getpid()}-{threading.get_ident()}"
