"""Logs: one event a line, as JSON or for people, from our code and from the libraries alike."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.types import Processor

LogFormat = Literal["json", "console"]

# Their lines come through the root logger; what they say below these levels helps nobody.
LEVELS = {
    "alembic": logging.WARNING,
    "amqp": logging.WARNING,
    "boto3": logging.WARNING,
    "botocore": logging.WARNING,
    "celery": logging.INFO,
    "celery.app.trace": logging.WARNING,  # two lines a doorbell
    "celery.worker.strategy": logging.WARNING,
    "kombu": logging.WARNING,
    "s3transfer": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.INFO,
}


def configure(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Write every log line of this process to standard error. Call once, before anything logs."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # tests configure more than once
    )
    _route_libraries(_handler(log_format, shared), level)


def _handler(log_format: LogFormat, shared: list[Processor]) -> logging.Handler:
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                timestamp_key="at",
                exception_formatter=structlog.dev.plain_traceback,  # rich's shows every local variable, for seconds
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    return handler


def _route_libraries(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name in [name for name in logging.Logger.manager.loggerDict if name.partition(".")[0] in LEVELS]:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    for name, lowest in LEVELS.items():
        logging.getLogger(name).setLevel(max(level, lowest))
