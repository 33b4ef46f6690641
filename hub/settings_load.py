"""The reader of settings: `hub.toml`, overridden by `TTSHUB_*` variables, overridden by the command line.

Tables merge key by key; lists and plain values replace earlier ones.

Environment variables are the key path in capitals: `TTSHUB_SERVER_PORT`, `TTSHUB_WORKER_START_TIMEOUT`. A list is
comma separated or JSON, a table (`TTSHUB_MODELS`) is JSON, an empty variable counts as unset. A model's keys are
`TTSHUB_MODELS_<NAME>_<KEY>`, where `<NAME>` is a configured model's name with `_` for every character that is not a
letter or digit. `TTSHUB_MODELS_<NAME>_BACKEND` adds a model if none has that name; it is named `<NAME>` in lower case
with `-` for `_`. A `TTSHUB_*` variable that names no setting is an error, because it is probably misspelt.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from hub.settings import ModelSettings, Settings, SettingsError
from hub.settings_check import KeyPath, Tree, check, dotted, unwrap

PREFIX = "TTSHUB_"
NOT_SETTINGS = ("TTSHUB_CONFIG", "TTSHUB_URL", "TTSHUB_API_KEY", "TTSHUB_DEBUG")
"""Variables of the command line itself: the file to read, and the hub that the client commands call."""

_ROOT = inspect.type_info(Settings)
_PLAIN: tuple[tuple[type[inspect.Type], type], ...] = (
    (inspect.IntType, int),
    (inspect.FloatType, float),
    (inspect.BoolType, bool),
)
_MODEL_KEYS = ModelSettings.__struct_fields__


def load_settings(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, Any] = {}
) -> Settings:
    """Read the settings from `path` (default: `find_config`), the environment and `overrides`, the last winning.

    `overrides` come from the command line: dotted key (`server.port`, `models.s1-mini.device`) -> a value, or a string
    that is parsed like an environment variable. Raises SettingsError with every problem found.
    """
    file = find_config(path, environ)
    tree = Tree()
    if file is not None:
        _read_file(tree, file)
    _read_environment(tree, environ)
    _read_overrides(tree, overrides)
    _read_secrets(tree, environ)
    return check(tree)


def find_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file to read: `path`, else `TTSHUB_CONFIG`, else `./hub.toml` if it exists, else None.

    Raises SettingsError if a file that was named does not exist.
    """
    named = path or environ.get("TTSHUB_CONFIG")
    if not named:
        usual = Path("hub.toml")
        return usual if usual.is_file() else None
    file = Path(named).expanduser()
    if not file.is_file():
        origin = "command line: --config" if path else "environment variable TTSHUB_CONFIG"
        raise SettingsError(f"{origin}: there is no file {str(file)!r}")
    return file


def _read_file(tree: Tree, file: Path) -> None:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: this is not valid TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: this is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    _resolve_paths(values, file.parent)
    tree.put((), values, str(file))


def _resolve_paths(values: dict[str, Any], folder: Path) -> None:
    """Resolve the paths in a file relative to it. A path that does not exist may be a hub id and stays as it is."""
    if isinstance(values.get("data"), str) and values["data"]:
        values["data"] = os.path.abspath(folder / Path(values["data"]).expanduser())
    for key in ("scene_folders", "voice_folders"):
        if isinstance(values.get(key), list):
            values[key] = [
                os.path.abspath(folder / Path(path).expanduser()) if isinstance(path, str) else path
                for path in values[key]
            ]
    references = values.get("references")
    if isinstance(references, dict) and isinstance(references.get("roots"), list):
        references["roots"] = [
            os.path.abspath(folder / Path(root).expanduser()) if isinstance(root, str) else root
            for root in references["roots"]
        ]
    models = values.get("models")
    for model in models.values() if isinstance(models, dict) else ():
        if isinstance(model, dict):
            for key in ("path", "python"):
                if isinstance(model.get(key), str) and model[key]:
                    model[key] = _resolve(model[key], folder)
    for entry in _api_keys(values):
        if entry["key"].startswith("file:"):
            entry["key"] = "file:" + os.path.abspath(folder / Path(entry["key"][5:]).expanduser())


def _resolve(text: str, folder: Path) -> str:
    path = Path(text).expanduser()
    meant = text.startswith(("./", "../", ".\\", "..\\", "~"))
    if not meant and not (folder / path).exists():
        return text
    # abspath, not resolve(): the python of a virtual environment is a link, and only by its own path does it use that
    # environment.
    return os.path.abspath(folder / path)


def _read_environment(tree: Tree, environ: Mapping[str, str]) -> None:
    known = {_shout("TTSHUB", *path): path for path in _leaves(_ROOT, ())}
    given = [name for name in environ if name.startswith(PREFIX) and name not in NOT_SETTINGS and environ[name]]
    # TTSHUB_MODELS first and ..._BACKEND next: they name the models that the other variables set.
    for name in sorted(given, key=lambda name: (name != "TTSHUB_MODELS", not name.endswith("_BACKEND"), name)):
        origin = f"environment variable {name}"
        path = known.get(name) or _model_variable(name, tree)
        if path is None:
            tree.unknown_variable(name, [*known, *NOT_SETTINGS, *_model_variables(tree)])
        else:
            tree.put(path, _from_text(environ[name], _type_at(path), origin), origin)


def _model_variable(name: str, tree: Tree) -> KeyPath | None:
    """Return the key path that a `TTSHUB_MODELS_<NAME>_<KEY>` variable sets, if any."""
    if not name.startswith("TTSHUB_MODELS_"):
        return None
    found = [
        ("models", model, key)
        for model in tree.names("models")
        for key in _MODEL_KEYS
        if _shout("TTSHUB_MODELS", model, key) == name
    ]
    if len(found) > 1:
        meanings = " or ".join(map(dotted, found))
        raise SettingsError(f"environment variable {name}: it may mean {meanings}; use JSON in TTSHUB_MODELS instead")
    if found:
        return found[0]
    new = name.removeprefix("TTSHUB_MODELS_").removesuffix("_BACKEND")
    return ("models", new.lower().replace("_", "-"), "backend") if name.endswith("_BACKEND") and new else None


def _model_variables(tree: Tree) -> list[str]:
    return [_shout("TTSHUB_MODELS", model, key) for model in tree.names("models") for key in _MODEL_KEYS]


def _shout(*parts: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", "_".join(parts).upper())


def _read_overrides(tree: Tree, overrides: Mapping[str, Any]) -> None:
    for key, value in overrides.items():
        origin = "command line"
        path = _dotted(key)
        kind = _type_at(path)
        tree.put(path, _from_text(value, kind, f"{origin}: {key}") if isinstance(value, str) else value, origin)


def _dotted(key: str) -> KeyPath:
    """Parse a key in TOML's notation, such as `models."v1.5".device`, into a path."""
    try:
        node = tomllib.loads(f"{key} = 0") if "\n" not in key else {}
    except tomllib.TOMLDecodeError:
        node = {}
    path: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        ((part, node),) = node.items()
        path.append(part)
    if not path:
        raise SettingsError(f"command line: invalid key {key!r}; write it as in hub.toml, such as server.port")
    return tuple(path)


def _read_secrets(tree: Tree, environ: Mapping[str, str]) -> None:
    """Replace `env:NAME` and `file:PATH` in API keys by the keys themselves."""
    for number, entry in enumerate(_api_keys(tree.values)):
        source, _, where = entry["key"].partition(":")
        key = f"{tree.origin(('auth', 'keys'))}: auth.keys[{number}].key"
        if source == "env":
            if not environ.get(where):
                raise SettingsError(f"{key}: the environment variable {where} is not set")
            entry["key"] = environ[where]
        elif source == "file":
            try:
                entry["key"] = Path(where).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                raise SettingsError(f"{key}: cannot read the file {where!r}") from None


def _api_keys(values: dict[str, Any]) -> list[dict[str, Any]]:
    auth = values.get("auth")
    keys = auth.get("keys") if isinstance(auth, dict) else None
    return [key for key in keys or () if isinstance(key, dict) and isinstance(key.get("key"), str)]


def _leaves(kind: inspect.Type, path: KeyPath) -> Iterator[KeyPath]:
    """Yield the path of every key with a fixed name that holds a value, not a section."""
    if not isinstance(kind, inspect.StructType):
        yield path
        return
    for field in kind.fields:
        yield from _leaves(field.type, (*path, field.name))


def _type_at(path: KeyPath) -> inspect.Type | None:
    kind: inspect.Type | None = _ROOT
    for part in path:
        if isinstance(kind, inspect.StructType):
            kind = next((field.type for field in kind.fields if field.name == part), None)
        elif isinstance(kind, inspect.DictType):
            kind = kind.value_type
        else:
            return inspect.AnyType() if isinstance(kind, inspect.AnyType) else None
    return kind


def _from_text(text: str, kind: inspect.Type | None, origin: str) -> Any:
    """Parse a variable's text as a value of `kind`; return invalid text unchanged, for the check to report."""
    kind = unwrap(kind)
    if isinstance(kind, inspect.AnyType):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    is_list = isinstance(kind, inspect.VarTupleType)
    if is_list and not text.lstrip().startswith(("[", "{")):
        return [part.strip() for part in text.split(",") if part.strip()]
    if is_list or isinstance(kind, inspect.DictType | inspect.StructType):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise SettingsError(f"{origin}: this is not valid JSON: {error}") from None
    plain = next((plain for known, plain in _PLAIN if isinstance(kind, known)), None)
    try:
        return msgspec.convert(text, plain, strict=False) if plain else text
    except msgspec.ValidationError:
        return text
