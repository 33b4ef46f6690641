"""Settings: the keys of `hub.toml`, `TTSHUB_*` environment variables and command-line flags.

The Structs here list all keys, types and ranges; `hub.settings_load` reads the values.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.contract.backend import Device, Dtype

Seconds = Annotated[float, Meta(gt=0)]

SIZE = r"^(?P<number>\d+(?:\.\d+)?) *(?P<unit>[Bb]|[KMGTkmgt][Ii]?[Bb])$"
"""The pattern of sizes in bytes: `8 GiB`, `500 MB`."""

Size = Annotated[str, Meta(pattern=SIZE)]


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one readable line each; no line holds a secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ServerSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The address that the hub listens on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8900
    allow_public: bool = False
    """Allow a public address without API keys."""


class ApiKey(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One named key. Limits are per minute; None is no limit.

    `key` may be `env:NAME` (an environment variable) or `file:PATH` (a file that holds the key, such as a container's
    secret), so that the configuration itself need not be secret.
    """

    name: str
    key: Annotated[str, Meta(min_length=8)]
    requests_per_minute: Annotated[float, Meta(gt=0)] | None = None
    audio_seconds_per_minute: Annotated[float, Meta(gt=0)] | None = None

    def __repr__(self) -> str:
        """Show the name without the key: settings appear in logs and tracebacks."""
        return f"ApiKey(name={self.name!r})"


class AuthSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The API keys. Without keys every client may call, but the hub then serves only a loopback address."""

    keys: tuple[ApiKey, ...] = ()


class CorsSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The web pages that may call: exact origins, or "*"."""

    origins: tuple[str, ...] = ()


class LimitSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Limits on requests and on the caches of stored voices."""

    text_chars: Annotated[int, Meta(ge=1)] = 100_000
    body_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    reference_seconds: Seconds = 120.0
    prepared_bytes: Annotated[int, Meta(ge=0)] = 1024 * 1024 * 1024
    """Bytes on disk for the state that models prepare of stored voices."""
    decoded_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024
    """Bytes of memory for the decoded recordings of stored voices."""


class LiveSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`WS /v1/speech/live`."""

    idle_timeout: Seconds = 60.0
    """Seconds after which the hub closes a websocket that waits for its client and has nothing to speak."""
    utterances: Annotated[int, Meta(ge=1)] = 16
    """Utterances that one websocket may have open; one more is refused."""
    message_bytes: Annotated[int, Meta(ge=1024)] = 16 * 1024 * 1024
    """A longer message closes the websocket with code 1009."""


class WorkerSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of the worker processes. All times are in seconds."""

    start_timeout: Seconds = 300.0
    buffer_seconds: Seconds = 60.0
    """Audio that the hub buffers for one slow client before it makes the model wait."""
    stall_timeout: Seconds = 120.0
    """Time after which a client with a full buffer that reads nothing is disconnected."""
    cancel_timeout: Seconds = 30.0
    """Time after which a worker that does not stop a cancelled stream is killed and started again."""
    backoff_first: Annotated[float, Meta(ge=0)] = 0.25
    backoff_max: Seconds = 30.0
    breaker_crashes: Annotated[int, Meta(ge=1)] = 5
    """Crashes in a row, without a completed request between them, that open the circuit breaker."""
    breaker_pause: Seconds = 60.0
    """Time for which an open breaker refuses requests before the hub tries one more start."""


class ModelSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME]`: a configured instance of a backend."""

    backend: str
    path: str = ""
    device: Device = "auto"
    dtype: Dtype = "auto"
    compile: bool = False
    python: str = ""
    """The Python interpreter that runs the worker, such as another virtual environment's; default: the hub's own."""
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests spoken at once; default and maximum: the number that the synthesizer declares."""
    queue: Annotated[int, Meta(ge=0)] = 64
    """Requests that may wait; one more is answered 429."""
    deadline: Seconds = 120.0
    """Seconds from a request's arrival to its first audio; then 503."""
    preload: bool = True
    idle_unload: Seconds | None = None
    """Seconds without a request after which the model is unloaded; the next request loads it again. Default: never."""
    memory: Size | None = None
    """Memory that the model needs on its device, such as `6 GiB`; default: measured, at first the size of its files."""
    options: dict[str, Any] = {}
    env: dict[str, str] = {}
    """Environment variables of the worker process."""


class DeviceSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[devices.NAME]`, such as `[devices.cpu]` or `[devices."cuda:0"]`: limits for the models on a device."""

    memory: Size | None = None
    """Memory for all loaded models together, such as `20 GiB`; idle models make room. Default: no limit."""


class TaskSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of tasks."""

    concurrency: Annotated[int, Meta(ge=1)] = 4
    """Tasks that run at once."""
    places: Annotated[int, Meta(ge=1)] = 2
    """Segments that all tasks together may speak at once with one model; a model with several places keeps one free."""
    queue: Annotated[int, Meta(ge=1)] = 1000
    """Unfinished tasks; one more is answered 429."""
    keep_hours: Annotated[float, Meta(gt=0)] = 168.0
    """Hours for which a finished task and its result are kept."""
    text_chars: Annotated[int, Meta(ge=1)] = 10_000_000
    """Characters that one task may have."""
    segment_chars: Annotated[int, Meta(ge=40, le=4000)] = 240
    """Maximum characters of a segment; long texts are spoken in segments of whole sentences."""


class PluginSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Installed plugins that the hub does not load."""

    disabled: tuple[str, ...] = ()


class ReferenceSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[references]`: the files and URLs that a caller may have the hub open; by default none."""

    roots: tuple[str, ...] = ()
    """Folders whose files a voice upload may name by `path`."""
    urls: bool = False
    """Allow a voice upload to name recordings by `url` (http and https)."""
    private_addresses: bool = False
    """Allow such a URL to lead to loopback, private and other addresses outside the public internet."""
    url_timeout: Seconds = 20.0
    """Seconds within which a recording must have arrived, including redirects."""


class CompatSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.PLUGIN]`: further places for a plugin's own routes, besides `/compat/PLUGIN/`."""

    root: bool = True
    """Serve them also at the family's original paths."""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Serve them also alone, at their original paths, on this port (the family's usual one)."""
    options: dict[str, Any] = {}
    """Options of the plugin's own routes, as the plugin documents them."""


class Settings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """All settings. `default_model` answers requests that name no model; default: the first configured model.

    `data` is the folder of voices, scenes, tasks and caches; default: `tts-hub` below `XDG_DATA_HOME` or
    `~/.local/share`. The hub only reads `scene_folders`, further folders of scenes (`*.json`, or `*.txt` as in Higgs
    Audio), and `voice_folders`, further folders of voices (one folder per voice, such as Fish Speech's `references`).
    `database` is the URL of the tasks' database, such as `postgresql://user@host/name`; default: a SQLite file in
    `data`.
    """

    default_model: str = ""
    data: str = ""
    scene_folders: tuple[str, ...] = ()
    voice_folders: tuple[str, ...] = ()
    database: str = ""
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    cors: CorsSettings = CorsSettings()
    limits: LimitSettings = LimitSettings()
    live: LiveSettings = LiveSettings()
    references: ReferenceSettings = ReferenceSettings()
    worker: WorkerSettings = WorkerSettings()
    tasks: TaskSettings = TaskSettings()
    plugins: PluginSettings = PluginSettings()
    compat: dict[str, CompatSettings] = {}
    devices: dict[str, DeviceSettings] = {}
    models: dict[str, ModelSettings] = {}
