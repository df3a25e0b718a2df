"""Frozen dataclasses to YAML and back, and `a.b=4` on top: checked, with the path of what is wrong.

    @dataclass(frozen=True)
    class Adapter:
        stride: int = 2

    config = read_yaml(Adapter, "adapter.yaml")
    config = override(config, ["stride=4"])
    write_yaml(config, "resolved.yaml")

Fields may be bool, int, float, str, Path, Literal, another dataclass, X | None, a union,
tuple[X, ...], tuple[X, Y], list[X], dict[str, X] and Any (taken as it is). An int is taken for a
float; nothing else is converted. Numbers and booleans are those of YAML 1.2: `1e-4` is a number
and `no` is a word.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from mooer.errors import ConfigError, did_you_mean

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: str = "") -> T:
    """A dataclass from plain values; `where` stands before the path in messages.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Adapter:
    ...     stride: int = 2
    >>> from_mapping(Adapter, {"strid": 4})
    Traceback (most recent call last):
    mooer.errors.ConfigError: unknown key strid: did you mean stride? Known: stride.
    """
    try:
        return typing.cast(T, _dataclass(cls, mapping, ""))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from error


def read_yaml(cls: type[T], path: str | Path) -> T:
    """A dataclass from a YAML file. ConfigError names the file and the key, or the line."""
    return from_mapping(cls, _load(path), where=str(path))


def read_key(path: str | Path, key: str) -> Any:
    """The value of one key of a YAML file, None if it has none. ConfigError as `read_yaml`."""
    return _load(path).get(key)


def _load(path: str | Path) -> dict[str, Any]:
    try:
        loaded = _parse(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read {path}: {reason}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds {_shown(loaded)}: write `key: value` lines")
    return loaded


def override(config: T, settings: Iterable[str]) -> T:
    """The same with `a.b=4` set, one after another; `stages.0.lr=1e-4` reaches into lists.

    A value is read as YAML, except where a str is wanted. A section that is None is made.
    """
    mapping = to_mapping(config)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"{setting!r} is no setting: write key.sub=value")
        _set(mapping, name.split("."), _Raw(text), name)
    return from_mapping(type(config), mapping)


def to_mapping(config: Any) -> dict[str, Any]:
    """Plain values of a dataclass: dicts, lists, strings, numbers, booleans and None."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def to_yaml(config: Any) -> str:
    """YAML of a dataclass, which `read_yaml` reads back to an equal one."""
    text = yaml.dump(
        to_mapping(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return str(text)


def write_yaml(config: Any, path: str | Path) -> None:
    """Write a dataclass as YAML."""
    Path(path).write_text(to_yaml(config), encoding="utf-8")


class _Raw(str):
    """Text from a command line, of which the wanted type decides what it means."""

    __slots__ = ()


def _set(mapping: Any, parts: list[str], value: Any, name: str) -> None:
    *outer, last = parts
    for part in outer:
        if isinstance(mapping, list):
            mapping = mapping[_index(mapping, part, name)]
        else:
            if mapping.get(part) is None:
                mapping[part] = {}
            mapping = mapping[part]
        if not isinstance(mapping, dict | list):
            raise ConfigError(f"{name}: {part} is no section, it holds {_shown(mapping)}")
    if isinstance(mapping, list):
        mapping[_index(mapping, last, name)] = value
    else:
        mapping[last] = value


def _index(values: list[Any], part: str, name: str) -> int:
    if not part.isdecimal() or int(part) >= len(values):
        raise ConfigError(f"{name}: {part!r} is no place in a list of {len(values)} (from 0)")
    return int(part)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _dataclass(cls: Any, mapping: Any, path: str) -> Any:
    if isinstance(mapping, _Raw):
        mapping = _read(mapping, path)
    if not isinstance(mapping, Mapping):
        raise _wrong(path, "a section (key: value)", mapping)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in mapping:
        if key not in fields:
            raise ConfigError(f"unknown key {_join(path, key)}: {did_you_mean(str(key), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        names = ", ".join(_join(path, name) for name in missing)
        raise ConfigError(f"{names} {'is' if len(missing) == 1 else 'are'} missing: add it")
    hints = typing.get_type_hints(cls)
    values = {k: _convert(v, hints[k], _join(path, k)) for k, v in mapping.items()}
    try:
        return cls(**values)
    except ConfigError as error:  # from __post_init__, which does not know where it stands
        raise ConfigError(f"{path}: {error}" if path else str(error)) from error


def _convert(value: Any, hint: Any, path: str) -> Any:
    if hint is Any:
        return _anything(value, path)
    if get_origin(hint) in (Union, types.UnionType):
        return _union(value, hint, path)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, path)
    return _leaf(value, hint, path)


def _leaf(value: Any, hint: Any, path: str) -> Any:
    """What holds no dataclass by itself: a scalar, a list, a table."""
    origin = get_origin(hint)
    if isinstance(value, _Raw):
        text = hint in (str, Path) or _is_choice(value, hint)
        value = str(value) if text else _read(value, path)
    if origin in (tuple, list):
        return _sequence(value, hint, path)
    if origin in (dict, Mapping):
        return _table(value, get_args(hint)[1], path)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if not _fits(value, hint):
        raise _wrong(path, _name(hint), value)
    return float(value) if hint is float else value


def _table(value: Any, hint: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(path, "a section (key: value)", value)
    return {str(k): _convert(v, hint, _join(path, str(k))) for k, v in value.items()}


def _anything(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return {k: _anything(v, _join(path, str(k))) for k, v in value.items()}
    if isinstance(value, list):
        return [_anything(v, path) for v in value]
    return _read(value, path) if isinstance(value, _Raw) else value


def _is_choice(value: str, hint: Any) -> bool:
    return get_origin(hint) is Literal and value in get_args(hint)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (type(None), None):
        return value is None
    return isinstance(hint, type) and isinstance(value, hint)


def _union(value: Any, hint: Any, path: str) -> Any:
    members = get_args(hint)
    if value is None or (isinstance(value, _Raw) and value in {"null", "None", "~", ""}):
        if type(None) in members:
            return None
        raise _wrong(path, _name(hint), None)
    members = tuple(m for m in members if m is not type(None))
    if len(members) == 1:  # X | None: its own message says more
        return _convert(value, members[0], path)
    for member in sorted(members, key=lambda m: m is str):  # from text, a str is the last resort
        try:
            return _convert(value, member, path)
        except ConfigError:
            continue
    raise _wrong(path, _name(hint), value)


def _sequence(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(path, f"a list ({_name(hint)})", value)
    args = get_args(hint)
    if get_origin(hint) is list:
        return [_convert(v, args[0], _join(path, str(i))) for i, v in enumerate(value)]
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise _wrong(path, f"a list of {len(args)}", value)
    pairs = enumerate(zip(value, args, strict=True))
    return tuple(_convert(v, a, _join(path, str(i))) for i, (v, a) in pairs)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _wrong(path: str, wanted: str, got: Any) -> ConfigError:
    return ConfigError(f"{path or 'the config'} must be {wanted}, got {_shown(got)}")


def _shown(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    text = repr(str(value) if isinstance(value, _Raw) else value)
    return f"{type(value).__name__.lstrip('_')} {text if len(text) <= 60 else text[:57] + '...'}"


def _name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if m is type(None) else _name(m) for m in get_args(hint))
    if hint is Path:
        return "a path"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, and a key that comes twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """As the base class, after a look at the keys."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = key.value
            if key.tag != "tag:yaml.org,2002:merge" and name in seen:
                raise yaml.YAMLError(f"key {name!r} comes twice, line {key.start_mark.line + 1}")
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads."""


_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_FLOAT = re.compile(
    r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.(inf|Inf)|\.(nan|NaN)"
)
_INT = re.compile(r"[-+]?(0|[1-9][\d_]*)")  # 007 is a word: ids look like that
_OTHERS = {"bool", "float", "int", "timestamp"}
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, r) for tag, r in rows if tag.rpartition(":")[2] not in _OTHERS]
        for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for _tag, _pattern, _first in (
        ("bool", _BOOL, "tTfF"),
        ("int", _INT, "-+0123456789"),
        ("float", _FLOAT, "-+.0123456789"),
    ):
        _anchored = re.compile(rf"(?:{_pattern.pattern})\Z")
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _anchored, list(_first))


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)


def _read(text: str, path: str) -> Any:
    try:
        return _parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {text!r} is not YAML: write a value") from error
