"""The plugin's declaration: its BackendSpec, its options, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from hub.contract.errors import InvalidRequest
from hub.service.speech.checks import check_options
from hub.settings import ModelSettings
from hub.testing.conformance.base import Base
from hub.testing.conformance.verdict import fail, must

HEAVY = ("torch", "torchaudio", "transformers", "onnxruntime", "tensorflow", "jax", "librosa", "scipy")
"""Packages that a plugin may import in its worker only."""


class Declaration(Base):
    """Tests that need no worker."""

    def test_the_spec_is_complete(self) -> None:
        spec = self.spec()
        must(bool(spec.title and spec.licence), "give the BackendSpec a title and the licence of the weights")
        for name, keywords in spec.default_models.items():
            self._check_model(f"default_models[{name!r}]", name, keywords)
        for name, one in spec.checkpoints.items():
            published = one.huggingface or one.modelscope or one.github
            must(bool(published), f"checkpoints[{name!r}] does not say where it is published")
            self._check_model(f"checkpoints[{name!r}].model", name, {"path": name, **one.model})

    def _check_model(self, what: str, name: str, keywords: Mapping[str, Any]) -> None:
        try:
            msgspec.convert({"backend": self.spec().name, **keywords}, ModelSettings)
        except msgspec.ValidationError as error:
            fail(f"{what} is not a valid [models.{name}] table: {error}")

    def test_options_are_a_strict_struct(self) -> None:
        spec = self.spec()
        if spec.options is None:
            must(not self.options, "the test class sends options, but the BackendSpec declares none")
            return
        config = spec.options.__struct_config__
        must(
            config.forbid_unknown_fields,
            f"declare {spec.options.__name__} with forbid_unknown_fields=True: a misspelt option must be an error",
        )
        try:
            msgspec.convert({}, spec.options)
        except msgspec.ValidationError as error:
            fail(f"every option needs a default, because a request may leave options out: {error}")
        msgspec.json.schema(spec.options)  # GET /v1/backends publishes it
        check_options(dict(self.request().options), spec)

    def test_bad_options_are_refused(self) -> None:
        spec = self.spec()
        for options in ({"no_such_option": 1}, *self.bad_options):
            try:
                check_options(dict(self.request(options=options).options), spec)
            except InvalidRequest:
                continue
            fail(f"options {options!r} were accepted; constrain the fields of the options Struct")

    def test_the_plugin_imports_nothing_heavy(self) -> None:
        if not self.plugin:
            pytest.skip("set `plugin` to the module that your entry point names")
        code = f"import sys, {self.plugin}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        must(result.returncode == 0, f"importing {self.plugin} fails:\n{result.stderr}")
        found = result.stdout.split()
        must(
            not found,
            f"importing {self.plugin} imports {', '.join(found)}; move such imports to the synthesizer's module, "
            "which only the worker imports",
        )
