"""Settings: what `hub.toml`, `TTSHUB_*` environment variables and command-line flags may say.

The Structs here are the whole list of keys, types and ranges; `hub.settings_load` reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.contract.backend import Device, Dtype

Seconds = Annotated[float, Meta(gt=0)]

SIZE = r"^(?P<number>\d+(?:\.\d+)?) *(?P<unit>[Bb]|[KMGTkmgt][Ii]?[Bb])$"
"""How bytes are written: `8 GiB`, `500 MB`."""

Size = Annotated[str, Meta(pattern=SIZE)]


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one readable line each; no line holds a secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ServerSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where the hub listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8900
    allow_public: bool = False
    """Say outright that a public address may be bound without API keys."""


class ApiKey(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One named key. Limits are per minute; None is no limit.

    `key` may be `env:NAME` (an environment variable) or `file:PATH` (a file with the key in it, as container
    secrets come), so that the configuration itself can be shown to anybody.
    """

    name: str
    key: Annotated[str, Meta(min_length=8)]
    requests_per_minute: Annotated[float, Meta(gt=0)] | None = None
    audio_seconds_per_minute: Annotated[float, Meta(gt=0)] | None = None

    def __repr__(self) -> str:
        """Without the key: settings end up in logs and tracebacks."""
        return f"ApiKey(name={self.name!r})"


class AuthSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Who may call. No keys: anybody, and then only on a loopback address."""

    keys: tuple[ApiKey, ...] = ()


class CorsSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which web pages may call: exact origins, or "*"."""

    origins: tuple[str, ...] = ()


class LimitSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Bounds on what callers send."""

    text_chars: Annotated[int, Meta(ge=1)] = 100_000
    body_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    reference_seconds: Seconds = 120.0
    prepared_bytes: Annotated[int, Meta(ge=0)] = 1024 * 1024 * 1024
    """How much of what models prepare of stored voices is kept on disk."""
    decoded_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024
    """How much of the decoded recordings of stored voices is kept in memory."""


class LiveSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`WS /v1/speech/live`."""

    idle_timeout: Seconds = 60.0
    """A websocket that waits for its client, with nothing to speak, is closed after so long."""
    utterances: Annotated[int, Meta(ge=1)] = 16
    """Utterances of one websocket that may be there at once; one more is refused."""
    message_bytes: Annotated[int, Meta(ge=1024)] = 16 * 1024 * 1024
    """A longer message closes the websocket with code 1009."""


class WorkerSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How worker processes are run. All times in seconds."""

    start_timeout: Seconds = 300.0
    buffer_seconds: Seconds = 60.0
    """Audio that may wait in the hub for one slow client before the model is held."""
    stall_timeout: Seconds = 120.0
    """A client with a full buffer that reads nothing for so long is cut off."""
    cancel_timeout: Seconds = 30.0
    """A worker that does not stop a cancelled stream for so long is hung: it is killed and respawned."""
    backoff_first: Annotated[float, Meta(ge=0)] = 0.25
    backoff_max: Seconds = 30.0
    breaker_crashes: Annotated[int, Meta(ge=1)] = 5
    """Crashes in a row, with no request completed between, that open the circuit breaker."""
    breaker_pause: Seconds = 60.0
    """How long an open breaker refuses requests before one more start is tried."""


class ModelSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME]`: a configured instance of a backend."""

    backend: str
    path: str = ""
    device: Device = "auto"
    dtype: Dtype = "auto"
    compile: bool = False
    python: str = ""
    """The interpreter of another virtual environment to run the worker in; default: the hub's own."""
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    """Requests spoken at once; default, and at most, what the synthesizer declares."""
    queue: Annotated[int, Meta(ge=0)] = 64
    """Requests that may wait; one more is answered 429."""
    deadline: Seconds = 120.0
    """Seconds from a request's arrival to its first audio; then 503."""
    preload: bool = True
    idle_unload: Seconds | None = None
    """Seconds without a request after which the model is unloaded; the next request loads it again. Default: never."""
    memory: Size | None = None
    """What the model needs of its device, such as `6 GiB`; default: what was measured, before that its files' size."""
    options: dict[str, Any] = {}
    env: dict[str, str] = {}
    """Environment variables of the worker process."""


class DeviceSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[devices.NAME]`, such as `[devices.cpu]` or `[devices."cuda:0"]`: what the models on it may use."""

    memory: Size | None = None
    """What all loaded models may need together, such as `20 GiB`; idle models make room. Default: no bound."""


class TaskSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How long jobs are done."""

    concurrency: Annotated[int, Meta(ge=1)] = 4
    """Tasks worked on at once."""
    places: Annotated[int, Meta(ge=1)] = 2
    """Segments that all tasks together may speak at once with one model; one place is left to requests if there is."""
    queue: Annotated[int, Meta(ge=1)] = 1000
    """Tasks that may be unfinished; one more is answered 429."""
    keep_hours: Annotated[float, Meta(gt=0)] = 168.0
    """How long a finished task and its result are kept."""
    text_chars: Annotated[int, Meta(ge=1)] = 10_000_000
    """Characters of one task."""
    segment_chars: Annotated[int, Meta(ge=40, le=4000)] = 240
    """Long texts are spoken in segments of whole sentences, up to so many characters."""


class PluginSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which installed plugins are left out."""

    disabled: tuple[str, ...] = ()


class ReferenceSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[references]`: what the hub may open because a caller names it. Nothing, unless it is said here."""

    roots: tuple[str, ...] = ()
    """Folders whose files a voice upload may name by `path`."""
    urls: bool = False
    """Whether a voice upload may name recordings by `url` (http and https)."""
    private_addresses: bool = False
    """Whether such a URL may lead to loopback, private and other addresses that are not of the public internet."""
    url_timeout: Seconds = 20.0
    """Seconds until a recording must be there, redirects included."""


class CompatSettings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.PLUGIN]`: where a plugin's own routes are served, besides under `/compat/PLUGIN/`."""

    root: bool = True
    """Also at the family's original paths."""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Also alone, at their original paths, on a port of their own (the family's usual one)."""
    options: dict[str, Any] = {}
    """What the plugin's own routes can be told, as the plugin documents it."""


class Settings(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Everything. `default_model` answers requests that name none; default: the first configured model.

    `data` is the folder where the hub keeps voices, scenes, tasks and caches; default: `tts-hub` below
    `XDG_DATA_HOME` or `~/.local/share`. `scene_folders` are further folders of scenes, which are only read: `*.txt`,
    as Higgs Audio has them, and `*.json`; so are `voice_folders` of voices: a folder each, such as Fish Speech's
    `references`. `database` is the URL of the tasks' database, such as
    `postgresql://user@host/name`; default: a SQLite file in `data`.
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
