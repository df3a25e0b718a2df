"""What a server is asked to be: frozen, checked at once, readable from a YAML file."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mooer.engines.device import check_device
from mooer.errors import ConfigError

MIB = 1 << 20
NO_LLM = "none"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class LimitOptions:
    """How much is taken on at a time, by each process."""

    max_upload_bytes: int = 512 * MIB
    max_body_bytes: int = 32 * MIB  # of a JSON body, with sound in it
    max_held_bytes: int = 256 * MIB  # of all JSON bodies at a time; of one caller half of it
    max_duration_s: float = 4 * 3600.0  # of one recording, counted while it is read
    max_input_chars: int = 4096  # of a text to be spoken
    max_running: int = 16  # requests that are worked on
    max_waiting: int = 256  # requests that wait for that
    max_running_each: int = 8  # of one caller
    max_waiting_each: int = 64
    max_sessions: int = 32  # live streams
    max_sessions_each: int = 8
    max_talks: int = 8  # of them conversations, each of which thinks and speaks
    max_talk_s: float = 3600.0  # of one conversation
    max_silent_s: float = 900.0  # of one in which nobody says anything
    requests_per_minute: int = 0  # of one caller; 0: as many as there is room for
    deadline_s: float = 1800.0  # for one request, its waiting included
    idle_s: float = 30.0  # without a byte of a body, or a reader of an answer
    drain_s: float = 30.0  # for what runs when the server is told to end

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            least = 0 if name in ("requests_per_minute", "max_waiting", "max_waiting_each") else 1
            if value < least:
                raise ConfigError(f"limits.{name} must be at least {least}, not {value}")


@dataclass(frozen=True)
class TlsOptions:
    """Certificate and key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Settings:
    """All that `mooer serve` can be told."""

    host: str = "127.0.0.1"
    port: int = 8000
    models: tuple[str, ...] = ("default",)  # recognisers, the first where a caller names none
    speaker: str | None = "kokoro-82m"  # None: nothing is spoken
    chat: str | None = None  # a speech LLM that answers; None: no chat
    agent: str | None = "default"  # who converses: a persona's file, or the usual; None: nobody
    mind: str = "embedded"  # what the agent thinks with: a name, or an OpenAI API's address
    mind_model: str = ""  # its model; of an address that has to be named
    mind_key: str = field(default="", repr=False)  # the key of that API
    llm: str | None = None  # translates; None: the house's own; none: Whisper, into English alone
    warm: bool = True  # load the first model before the port answers
    unload_after_s: float | None = None  # without a request; None: never
    threads: int | None = None  # processor threads; None: all cores
    device: str = "auto"  # cpu, cuda; auto: an NVIDIA GPU where there is one
    max_batch: int = 8  # chunks of all callers that are decoded together by one worker
    workers: int = 1  # processes behind the port
    public: bool = False  # whether other machines are to reach it
    keys: Path | None = None  # file of API keys, hashed
    api_key: str | None = field(default=None, repr=False)  # one more key, as it is
    hosts: tuple[str, ...] = ()  # names it is reached by; of a loopback server its own are known
    cors: tuple[str, ...] = ()  # origins of pages that may call it from a browser
    proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For is believed
    tls: TlsOptions | None = None
    fetch_urls: bool = False  # whether a caller's https address of a sound is fetched
    log_content: bool = False  # whether texts go to the log
    docs: bool = True  # /docs and /openapi.json
    upload_dir: Path | None = None  # for uploads while they are read; None: the system's
    metrics_dir: Path | None = None  # where several workers meet; made by `mooer serve`
    limits: LimitOptions = field(default_factory=LimitOptions)

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("a server needs at least one model: name it in models")
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port must be 0 to 65535, not {self.port}")
        check_device(self.device)
        for name in ("workers", "max_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")

    def check(self) -> None:
        """ConfigError for a server that others could reach unasked; `make_app` calls it."""
        if "*" in self.cors and self.has_keys:
            raise ConfigError(
                "cors '*' lets every page on the web call a server that has keys: name the origins"
            )
        if not self.is_loopback and not self.has_keys:
            raise ConfigError(
                f"on {self.bind_host} other machines reach the server, and it has no API keys: "
                "make one with `mooer serve --new-key NAME --keys FILE`, or set MOOER_API_KEY"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone reaches it."""
        if self.public:
            return False
        if self.host in LOOPBACK_NAMES:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def has_keys(self) -> bool:
        """Whether a caller has to show a key."""
        return self.keys is not None or bool(self.api_key)

    @property
    def bind_host(self) -> str:
        """The address to listen on: with `public` all, unless one was named."""
        named = self.host not in LOOPBACK_NAMES
        return self.host if named or not self.public else "0.0.0.0"  # noqa: S104 - asked for

    def on_port(self, port: int) -> Settings:
        """The same on another port."""
        return replace(self, port=port)
