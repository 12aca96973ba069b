"""The program's log: structured lines on standard error. Never content, keys, or names of people; ids are cut short.

Spec: spec/operation.md, 3.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["configure_logging", "use_format"]

# sd-daemon(3): what a line begins with, for the journal to know how much it matters.
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class _Renderer:
    """The last processor: it may become another one while loggers that are in use hold it."""

    def __init__(self, log_format: str, *, journal: bool) -> None:
        self._journal = journal
        self._render: Processor = structlog.processors.JSONRenderer()
        self.use(log_format)

    def use(self, log_format: str) -> None:
        if log_format == "json":
            self._render = structlog.processors.JSONRenderer(ensure_ascii=False)
        else:
            self._render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        priority = f"<{_PRIORITIES.get(str(event.get('level')), 6)}>" if self._journal else ""
        return priority + str(self._render(logger, name, event))


class _FromLibraries(logging.Handler):
    """Records of libraries as lines of ours: what they say without what they say it of, which may be anything."""

    def emit(self, record: logging.LogRecord) -> None:
        error = "" if record.exc_info is None or record.exc_info[0] is None else record.exc_info[0].__name__
        fields = {"error": error} if error else {}
        structlog.get_logger(__name__).log(
            record.levelno, "a library reports", library=record.name, detail=str(record.msg), **fields
        )


_renderer: _Renderer | None = None


def configure_logging(
    log_format: str, *, level: int = logging.INFO, environment: Mapping[str, str] = os.environ
) -> None:
    """Set up structlog once, at the start of a running node, or of a command that does a node's work.

    log_format: text or json. level: what is less is not told. Under systemd (JOURNAL_STREAM) lines have priorities.
    """
    global _renderer
    _renderer = _Renderer(log_format, journal=_is_journal(environment.get("JOURNAL_STREAM", "")))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_FromLibraries()], level=max(level, logging.WARNING), force=True)


def use_format(log_format: str) -> None:
    """From the next line on; nothing where `configure_logging` was not called."""
    if _renderer is not None:
        _renderer.use(log_format)


def _is_journal(stream: str) -> bool:
    """Whether standard error is the journal's stream: a shell started by a service has the variable, too."""
    try:
        status: Any = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
