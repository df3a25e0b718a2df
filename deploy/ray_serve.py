"""mooer on Ray Serve: replicas on as many machines as a Ray cluster has.

pip install 'mooer[serve,speak]' 'ray[serve]'           # on every machine
serve run deploy.ray_serve:app config=serve.yaml min_replicas=1 max_replicas=8 num_cpus=2

`config` is a file of settings as for `mooer serve --config`; it must name `keys`, or MOOER_API_KEY
be set where this is started. Ray has the port (`serve start --http-host 0.0.0.0 --http-port 8000`),
so that `host`, `port`, `workers` and `tls` of the settings do nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mooer.cli.serve import read_settings
from mooer.config import override
from mooer.errors import ConfigError
from mooer.serve.engines import Load
from mooer.serve.settings import Settings


@dataclass(frozen=True)
class RayOptions:
    """How Ray places replicas."""

    config: Path | None = None  # settings of each replica
    min_replicas: int = 1
    max_replicas: int = 4
    num_cpus: int = 2  # of one replica, which has as many threads
    upscale_delay_s: float = 10.0
    downscale_delay_s: float = 600.0  # a live stream ends with its replica


def app(arguments: dict[str, str]) -> Any:
    """The Ray Serve application of `serve run`. ConfigError if it makes no sense."""
    options = override(RayOptions(), [f"{key}={value}" for key, value in arguments.items()])
    return make(read_settings(options.config, {}, None, []), options)


def make(settings: Settings, options: RayOptions, load: Load | None = None) -> Any:
    """An application of these settings; `load` takes the place of the house's models."""
    if settings.tls is not None or settings.workers > 1:
        raise ConfigError("tls and workers are Ray's to give: leave them out of the settings")
    settings = replace(settings, public=True, threads=settings.threads or options.num_cpus)
    settings.check()  # here, where someone reads it, and not in a replica
    limits = settings.limits

    from ray import serve  # not one of mooer's own packages

    def build() -> Any:
        from mooer.serve.app import make_app

        return make_app(settings, load)

    @serve.deployment(
        name="mooer",
        ray_actor_options={"num_cpus": options.num_cpus},
        # All that a replica would let wait comes to it: its own refusals have a Retry-After.
        max_ongoing_requests=limits.max_running + limits.max_waiting + limits.max_sessions,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": max(1, limits.max_running // 2),
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
        },
        graceful_shutdown_timeout_s=limits.drain_s,
        health_check_period_s=10.0,
    )
    @serve.ingress(build)
    class Mooer:
        """One replica."""

        def check_health(self) -> None:
            """Ray makes a replica anew whose first model cannot be loaded."""
            guard: Any = self.app  # type: ignore[attr-defined]  # ingress adds it
            if not guard.state.engines.is_usable:
                raise RuntimeError("the first model cannot be loaded: the log says why")

    return Mooer.bind()
