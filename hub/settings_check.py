"""The check of settings against their Structs, with messages that say what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from hub.contract.backend import DEVICE
from hub.settings import SIZE, Settings, SettingsError

KeyPath = tuple[str, ...]

_PATTERNS = {SIZE: "a size such as 8 GiB or 500 MB", DEVICE: "auto, cpu, cuda, cuda:N (such as cuda:1) or mps"}
"""Descriptions of the strings that a pattern allows."""


class Tree:
    """The values read so far, as nested dicts, and the origin of each."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []
        self._origins: dict[KeyPath, str] = {}

    def put(self, path: KeyPath, value: Any, origin: str) -> None:
        """Set the value at `path`; merge a dict into an existing one. Raises SettingsError below a plain value."""
        if isinstance(value, dict) and (not path or isinstance(self._at(path), dict | None)):
            self._origins[path] = origin
            if path:
                self._table(path[:-1]).setdefault(path[-1], {})
            for key, child in value.items():
                self.put((*path, key), child, origin)
            return
        self._table(path[:-1])[path[-1]] = value
        self._origins[path] = origin

    def origin(self, path: KeyPath) -> str:
        """Return the origin of the value at `path`, or of the nearest table around it."""
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path, "settings")

    def names(self, section: str) -> list[str]:
        """Return the keys of a section."""
        table = self.values.get(section)
        return list(table) if isinstance(table, dict) else []

    def unknown_variable(self, name: str, known: Iterable[str]) -> None:
        """Record an environment variable that names no setting."""
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
        if near:
            advice = f"Did you mean {' or '.join(near)}?"
        elif name.startswith("TTSHUB_MODELS_"):
            advice = "Name the model in hub.toml, or set TTSHUB_MODELS_<NAME>_BACKEND for it."
        else:
            advice = "Variables are TTSHUB_ and the key path in capitals, such as TTSHUB_SERVER_PORT."
        self.problems.append(f"environment variable {name}: there is no such setting. {advice}")

    def _at(self, path: KeyPath) -> Any:
        node: Any = self.values
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def _table(self, path: KeyPath) -> dict[str, Any]:
        node = self.values
        for depth, part in enumerate(path, 1):
            child = node.setdefault(part, {})
            if not isinstance(child, dict):
                where = f"{self.origin(path[:depth])}: {dotted(path[:depth])}"
                raise SettingsError(f"{where}: expected a table, got {_shown(child, path)}")
            node = child
        return node


def check(tree: Tree) -> Settings:
    """Return the Settings that `tree` holds. Raises SettingsError with every problem found."""
    problems = tree.problems
    _check_value(inspect.type_info(Settings), Settings, tree.values, (), tree, problems)
    if not problems:
        settings = msgspec.convert(tree.values, Settings)
        _check_keys_differ(settings, tree, problems)
    if problems:
        raise SettingsError(*problems)
    return settings


T = TypeVar("T", bound=msgspec.Struct)


def convert_table(values: dict[str, Any], kind: type[T], path: KeyPath) -> T:
    """Convert the table at `path` to a plugin's Struct. Raises SettingsError with every problem found."""
    problems: list[str] = []
    _check_value(inspect.type_info(kind), kind, values, path, Tree(), problems)
    if problems:
        raise SettingsError(*problems)
    return msgspec.convert(values, kind)


def _check_value(
    kind: inspect.Type, annotation: Any, value: Any, path: KeyPath, tree: Tree, problems: list[str]
) -> None:
    """Check a value, descending into Structs so that a problem names its own key."""
    if isinstance(kind, inspect.StructType) and isinstance(value, dict):
        _check_table(kind, value, path, tree, problems)
    elif isinstance(kind, inspect.DictType) and isinstance(value, dict) and _is_struct(kind.value_type):
        for name, child in value.items():
            _check_value(kind.value_type, Any, child, (*path, name), tree, problems)
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list) and _is_struct(kind.item_type):
        for number, child in enumerate(value):
            _check_value(kind.item_type, Any, child, (*path, f"[{number}]"), tree, problems)
    else:
        try:
            if isinstance(kind, inspect.StructType):
                raise msgspec.ValidationError
            msgspec.convert(value, annotation)
        except msgspec.ValidationError:
            problems.append(
                f"{tree.origin(path)}: {dotted(path)}: expected {describe(kind)}, got {_shown(value, path)}"
            )


def _check_table(
    kind: inspect.StructType, value: dict[str, Any], path: KeyPath, tree: Tree, problems: list[str]
) -> None:
    types = {field.name: field.type for field in msgspec.structs.fields(kind.cls)}
    for field in kind.fields:
        if field.name in value:
            _check_value(field.type, types[field.name], value[field.name], (*path, field.name), tree, problems)
        elif field.required:
            origin, table = tree.origin(path), dotted(path)
            problems.append(f"{origin}: {table}: the key {field.name!r} is missing; it must be {describe(field.type)}")
    for key in value:
        if key not in types:
            where = (*path, key)
            problems.append(f"{tree.origin(where)}: {dotted(where)}: unknown key. {_advice(key, path, types)}")


def _check_keys_differ(settings: Settings, tree: Tree, problems: list[str]) -> None:
    names: set[str] = set()
    secrets: dict[str, str] = {}
    for key in settings.auth.keys:
        where = f"{tree.origin(('auth', 'keys'))}: auth.keys"
        if key.name in names:
            problems.append(f"{where}: two keys are named {key.name!r}; names tell callers apart, give each its own")
        elif key.key in secrets:
            problems.append(f"{where}: {secrets[key.key]!r} and {key.name!r} have the same key; give each its own")
        names.add(key.name)
        secrets.setdefault(key.key, key.name)


def _advice(key: str, path: KeyPath, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    elsewhere = [] if near else [dotted(one) for one in _paths_ending_in(key) if one[:-1] != path]
    meant = near or elsewhere[:1]
    question = f"Did you mean {meant[0]!r}? " if meant else ""
    return f"{question}Allowed here: {', '.join(allowed)}"


def _paths_ending_in(key: str) -> list[KeyPath]:
    sections = [field for field in msgspec.structs.fields(Settings) if isinstance(field.type, type)]
    return [
        (section.name, key)
        for section in sections
        if issubclass(section.type, msgspec.Struct) and key in section.type.__struct_fields__
    ]


def dotted(path: Sequence[str]) -> str:
    """Return a key path as one string: `models.s1-mini.device`, `auth.keys[0].name`."""
    text = ""
    for part in path:
        text += part if part.startswith("[") or not text else f".{part}"
    return text


def unwrap(kind: inspect.Type | None) -> inspect.Type | None:
    """Return `X` for `X | None`."""
    if isinstance(kind, inspect.UnionType):
        return next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind


def describe(kind: inspect.Type) -> str:
    """Describe in words the values that a type and its bounds allow."""
    match unwrap(kind):
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() as number:
            return "a whole number" + _bounds(number)
        case inspect.FloatType() as number:
            return "a number" + _bounds(number)
        case inspect.StrType(pattern=str(pattern)):
            return _PATTERNS.get(pattern, f"a string like {pattern}")
        case inspect.StrType(min_length=int(length)):
            return f"a string of at least {length} characters"
        case inspect.StrType():
            return "a string"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case inspect.VarTupleType(item_type=inspect.StructType()):
            return "a list of tables"
        case inspect.VarTupleType(item_type=inspect.StrType(pattern=None, min_length=None)):
            return "a list of strings"
        case inspect.VarTupleType(item_type=item):
            return f"a list, each {describe(item)}"
        case inspect.DictType(value_type=inspect.StrType()):
            return "a table of strings"
        case _:
            return "a table"


def _bounds(number: inspect.IntType | inspect.FloatType) -> str:
    if number.ge is not None and number.le is not None:
        return f" from {number.ge:g} to {number.le:g}"
    if number.ge is not None:
        return f", {number.ge:g} or more"
    return f" over {number.gt:g}" if number.gt is not None else ""


def _shown(value: Any, path: KeyPath) -> str:
    """Show a value in a message; if it could be a secret, only its type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if path[:1] == ("auth",) or {"env", "options"} & set(path) or not isinstance(value, str | int | float):
        names = {"str": "a string", "dict": "a table", "list": "a list"}
        return names.get(type(value).__name__, f"a value of type {type(value).__name__}")
    return repr(value) if len(repr(value)) <= 60 else "a long string"


def _is_struct(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.StructType)
