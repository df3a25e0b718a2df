"""The process, or processes, behind a port: uvicorn with the limits of the settings.

SIGTERM and ctrl-C let what runs come to its end, for `limits.drain_s` at most; a second one does
not wait. With several workers one that dies is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from mooer.engines.llm import usable_cores
from mooer.errors import ConfigError
from mooer.memory import share_freed_memory
from mooer.serve.app import make_app
from mooer.serve.certificate import Renewal, check_tls
from mooer.serve.crew import Crew, has_parent
from mooer.serve.engines import Load
from mooer.serve.settings import Settings, TlsOptions
from mooer.serve.wire import Connection, Stream

logger = logging.getLogger(__name__)

_KEEP_ALIVE_S = 65  # longer than nginx keeps its side
_BACKLOG = 512
_WS_MAX_BYTES = 4 << 20  # a realtime event of base64; rooms refuse less with a sentence
_WS_PING_S = 20.0
_DRAIN_STEP_S = 0.05
_RENEWAL_TICKS = 10  # between looks at the files of a certificate: a second


class Server(uvicorn.Server):
    """A server that says from where on it answers; as one of several, that it is alive."""

    def __init__(self, config: uvicorn.Config, beat: Any = None) -> None:
        super().__init__(config)
        self._beat = beat
        files = config.ssl_certfile, config.ssl_keyfile
        tls = TlsOptions(*(Path(one) for one in files if one)) if config.is_ssl else None
        self._renewal = tls and Renewal(tls)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._beat is not None:
            self._beat.value += 1
            self.should_exit = self.should_exit or not has_parent()
        if self._renewal and self.config.ssl and counter % _RENEWAL_TICKS == 0:
            self._renewal.look(self.config.ssl)
        return await super().on_tick(counter)

    async def startup(self, sockets: Any = None) -> None:
        """Open the port, once the first model is there."""
        await super().startup(sockets)
        settings = self.config
        if self.started and settings.workers == 1:
            scheme = "https" if settings.is_ssl else "http"
            port = self.servers[0].sockets[0].getsockname()[1] if self.servers else settings.port
            url = f"{scheme}://{settings.host}:{port}"
            logger.info("listening on %s: a page for people, %s/v1 for clients", url, url)

    async def shutdown(self, sockets: Any = None) -> None:
        """Let live streams tell what they have heard, in a bounded time, then end all."""
        app: Any = self.config.loaded_app
        guard = app if hasattr(app, "state") else app.app  # behind what believes proxies
        limits = guard.state.limits
        limits.is_draining = True
        ends_at = time.monotonic() + limits.options.drain_s
        while limits.num_sessions and time.monotonic() < ends_at and not self.force_exit:
            await asyncio.sleep(_DRAIN_STEP_S)
        await super().shutdown(sockets)


def serve(settings: Settings) -> None:
    """Run until told to end. ConfigError if the port cannot be had."""
    share_freed_memory()
    with ExitStack() as stack:
        if settings.workers > 1 and settings.metrics_dir is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mooer-metrics-"))
            settings = replace(settings, metrics_dir=Path(folder))
        if settings.workers > 1 and settings.threads is None:
            settings = replace(settings, threads=max(1, usable_cores() // settings.workers))
        config = configure(settings, logs=_logging())
        if settings.workers == 1:
            server = Server(config)
            with suppress(SystemExit):  # uvicorn's way to say that the port is taken
                server.run()
            if not server.started:
                raise _not_started(settings)
            return
        make_app(settings)  # what is wrong with the settings is said here, once
        try:
            place = config.bind_socket()
        except SystemExit:
            raise _not_started(settings) from None
        with place:
            port = place.getsockname()[1]
            logger.info("%d workers on port %d (ctrl-C ends them)", settings.workers, port)
            Crew(config, place, _work).run(settings.limits.drain_s)


def _not_started(settings: Settings) -> ConfigError:
    return ConfigError(
        f"the server did not start on {settings.bind_host}:{settings.port}: take another --port if "
        "that one is in use; the log says more"
    )


def _work(config: uvicorn.Config, place: socket.socket, beat: Any) -> None:
    share_freed_memory()
    Server(config, beat).run([place])


def configure(
    settings: Settings, load: Load | None = None, *, logs: dict[str, Any] | None = None
) -> uvicorn.Config:
    """What uvicorn is told; `load` takes the place of the house's, `logs` is a `dictConfig`."""
    limits, tls = settings.limits, settings.tls
    most = limits.max_running + limits.max_waiting + limits.max_sessions + 64
    if tls is not None:
        check_tls(tls)
    return uvicorn.Config(
        partial(make_app, settings, load),
        factory=True,
        host=settings.bind_host,
        port=settings.port,
        workers=settings.workers,
        http=Connection,
        ws=Stream,
        ws_max_size=_WS_MAX_BYTES,
        ws_ping_interval=_WS_PING_S,
        ws_ping_timeout=_WS_PING_S,
        loop="asyncio",
        lifespan="on",
        log_config=logs,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies) or None,
        backlog=_BACKLOG,
        limit_concurrency=most,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(limits.drain_s),
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )


def _logging() -> dict[str, Any]:
    """Lines on standard error with their time, of every process."""
    level = logging.getLevelName(logging.getLogger("mooer").getEffectiveLevel())
    line = {"format": "%(asctime)s %(levelname)s %(message)s"}
    out = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "handlers": {"stderr": out},
        "loggers": {
            "mooer": {"handlers": ["stderr"], "level": level},
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING"},
        },
    }
