"""The hub finds plugins one by one, reports a broken one, and loads the rest."""

import importlib.metadata
import subprocess
import sys
import types

import msgspec
import pytest

from hub import BackendSpec, hookimpl
from hub.plugin.manager import Plugins
from hub.testing import tone


def plugin(name, **hooks):
    module = types.ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def spec(name, **keywords):
    return BackendSpec(name=name, synthesizer="some.module:Class", **{"contract": 1, **keywords})


def failures_of(plugins):
    return {failure.plugin: failure.error for failure in plugins.failures}


def test_installed_plugins_are_found_with_their_distribution():
    plugins = Plugins.discover()
    (hibari,) = [info for info in plugins.installed if info.name == "hibari"]
    assert hibari.distribution == "tts-hub"
    assert hibari.enabled
    assert hibari.backends == ("hibari",)
    assert plugins.failures == []


def test_a_disabled_plugin_is_listed_and_not_loaded():
    plugins = Plugins.discover(disabled=["hibari"])
    (hibari,) = [info for info in plugins.installed if info.name == "hibari"]
    assert not hibari.enabled
    assert "hibari" not in plugins.backends


def test_backends_come_sorted_by_plugin_name():
    b = plugin("b", register_backends=lambda settings: [spec("from-b")])
    a = plugin("a", register_backends=lambda settings: [spec("from-a")])
    assert list(Plugins.discover(disabled=["hibari"], extra=[b, a]).backends) == ["from-a", "from-b"]


def test_a_hook_that_raises_is_a_failure_of_its_plugin_only():
    def explode(settings):
        raise RuntimeError("no licence key")

    plugins = Plugins.discover(extra=[plugin("bad", register_backends=explode), tone])
    assert failures_of(plugins) == {"bad": "register_backends: RuntimeError: no licence key"}
    assert {"hibari", "tone"} <= set(plugins.backends)


def test_a_misspelt_hook_is_reported():
    plugins = Plugins.discover(extra=[plugin("typo", register_backend=lambda settings: []), tone])
    assert "register_backend" in failures_of(plugins)["typo"]
    assert "tone" in plugins.backends


def test_a_hook_with_an_argument_that_does_not_exist_is_reported():
    plugins = Plugins.discover(extra=[plugin("typo", register_backends=lambda setings: [])])
    assert "setings" in failures_of(plugins)["typo"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda settings: "hibari", "not a list"),
        (lambda settings: ["hibari"], "not BackendSpec"),
        (lambda settings: [spec("x", contract=99)], "needs contract 99"),
        (lambda settings: [BackendSpec(name="x", synthesizer="some.module:Class")], "contract"),
        (lambda settings: [BackendSpec(name="x", synthesizer="no_class", contract=1)], "module:Class"),
        (lambda settings: [spec("")], "no name"),
    ],
)
def test_a_backend_that_cannot_be_used_is_reported(made, words):
    plugins = Plugins.discover(disabled=["hibari"], extra=[plugin("odd", register_backends=made), tone])
    assert words in failures_of(plugins)["odd"]
    assert set(plugins.backends) == {"tone"}


def test_the_second_backend_of_a_name_is_refused():
    copy = plugin("zz_copy", register_backends=lambda settings: [spec("hibari")])
    plugins = Plugins.discover(extra=[copy])
    assert "plugin 'hibari' has already registered" in failures_of(plugins)["zz_copy"]
    assert plugins.backends["hibari"].synthesizer.startswith("hub.builtin")


def test_text_filters_run_by_order_then_plugin_name():
    class Filter:
        def __init__(self, order, word):
            self.order, self.word = order, word

    a = plugin("a", register_text_filters=lambda: [Filter(5, "a5"), Filter(1, "a1")])
    b = plugin("b", register_text_filters=lambda: [Filter(1, "b1")])
    assert [f.word for f in Plugins.discover(extra=[b, a]).text_filters()] == ["a1", "b1", "a5"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def (", "SyntaxError"),
    ],
)
def test_an_installed_plugin_whose_import_fails_does_not_stop_the_others(tmp_path, body, words):
    (tmp_path / "broken_plugin.py").write_text(body)
    info = tmp_path / "broken_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hub.plugins]\nbroken = broken_plugin\n")
    program = (
        "from hub.plugin.manager import Plugins\n"
        "plugins = Plugins.discover()\n"
        "print('hibari' in plugins.backends, [(f.plugin, f.distribution, f.error) for f in plugins.failures])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert "True [('broken', 'broken-plugin'" in done.stdout
    assert words in done.stdout


def test_the_struct_of_compat_options_is_one_with_defaults():
    class Good(msgspec.Struct):
        longest: int = 0

    class Bad(msgspec.Struct):
        longest: int

    kinds = {"good": Good, "bad": Bad, "odd": {"longest": 0}}
    plugins = Plugins.discover(
        extra=[plugin(name, register_compat_options=lambda kind=kind: kind) for name, kind in kinds.items()],
    )
    assert plugins.compat_options() == {"good": Good}
    assert [(failure.plugin, failure.error) for failure in plugins.failures] == [
        ("bad", "register_compat_options: longest must have a default"),
        ("odd", "register_compat_options: the result must be a msgspec Struct class"),
    ]


def test_hooks_are_the_ones_documented():
    from hub.plugin import spec as hookspecs

    documented = {name for name in vars(hookspecs) if name.startswith("register_") or name == "configure_app"}
    assert documented == {
        "register_backends",
        "register_routes",
        "register_compat_options",
        "register_encoders",
        "register_text_filters",
        "register_scenes",
        "register_commands",
        "register_checks",
        "register_observers",
        "register_task_kinds",
        "configure_app",
    }
    assert all(vars(hookspecs)[name].__doc__ for name in documented)


def test_this_environment_has_the_entry_point():
    assert any(point.name == "hibari" for point in importlib.metadata.entry_points(group="hub.plugins"))


def test_the_hubs_own_dialects_cannot_be_disabled():
    own = {info.name for info in Plugins.discover().all} - {info.name for info in Plugins.discover().installed}
    assert own >= {"openai", "elevenlabs", "wyoming"}
    assert all(info.enabled for info in Plugins.discover(disabled=own).all if info.name in own)
