"""docs/operating.md: it has every key with type and default, and every metric; its examples run."""

import json
import tomllib

import msgspec
import pytest
from msgspec import inspect
from prometheus_client.parser import text_string_to_metric_families

from hub import settings
from hub.service.hub import Hub
from hub.service.models.metrics import Metrics
from hub.settings import Settings
from hub.settings_check import describe
from tests.support.pages import blocks, read, sections, tables

PAGE = read("docs/operating.md")
REFERENCE = {
    heading.strip("`"): tables(text)[0][1:] for heading, text in sections(sections(PAGE)["Reference"], level=3).items()
}
STRUCTS = {
    "Top level": settings.Settings,
    "[server]": settings.ServerSettings,
    "[auth]": settings.AuthSettings,
    "[[auth.keys]]": settings.ApiKey,
    "[cors]": settings.CorsSettings,
    "[limits]": settings.LimitSettings,
    "[live]": settings.LiveSettings,
    "[references]": settings.ReferenceSettings,
    "[worker]": settings.WorkerSettings,
    "[tasks]": settings.TaskSettings,
    "[plugins]": settings.PluginSettings,
    "[compat.PLUGIN]": settings.CompatSettings,
    "[devices.NAME]": settings.DeviceSettings,
    "[models.NAME]": settings.ModelSettings,
}


def shown(field):
    """Return a default as TOML writes it."""
    if field.required:
        return "required"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    match default:
        case None:
            return "none"
        case msgspec.Struct():
            return f"`[{field.name}]`"
        case float():
            return f"`{default:g}`"
        case tuple():
            return "`[]`"
        case _:
            return f"`{json.dumps(default)}`"


def test_every_struct_of_the_settings_has_its_section():
    structs = {
        thing for thing in vars(settings).values() if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
    }
    assert set(STRUCTS.values()) == structs - {msgspec.Struct}
    assert list(REFERENCE) == list(STRUCTS)


@pytest.mark.parametrize("section", STRUCTS)
def test_every_key_is_documented_with_its_type_and_default(section):
    kinds = {field.name: field.type for field in inspect.type_info(STRUCTS[section]).fields}
    fields = msgspec.structs.fields(STRUCTS[section])
    assert [(row[0], row[1], row[2]) for row in REFERENCE[section]] == [
        (f"`{field.name}`", describe(kinds[field.name]), shown(field)) for field in fields
    ]
    assert all(row[3] for row in REFERENCE[section])


def test_every_toml_block_could_be_a_configuration():
    for block in blocks(PAGE):
        if block.language == "toml":
            msgspec.convert(tomllib.loads(block.text), Settings)


def test_the_metrics_are_those_that_are_served():
    served = {}
    for family in text_string_to_metric_families(Metrics(Hub.build(Settings()).models).render().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.endswith("_created"):
            served[name] = family.type
    documented = {row[0].strip("`"): row[1] for row in tables(sections(PAGE)["Metrics"])[0][1:]}
    assert documented == served


def test_the_examples_run(shell):
    assert shell.follow("docs/operating.md") >= 4
