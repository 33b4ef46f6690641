"""docs/compat/cosyvoice.md: what it lists is what there is, and the examples run."""

import re
import shutil
import tomllib

import msgspec
import torch
from hub_cosyvoice.options import CompatOptions
from hub_cosyvoice.routes.inference import FORMS, Extra

from hub.settings import Settings
from plugins.cosyvoice.tests.support.requests import recording
from tests.support.pages import Shell, blocks, read, sections, tables

PAGE = read("docs/compat/cosyvoice.md")
SECTIONS = sections(PAGE)


class Here(Shell):
    """The page's client names its server by host and port, which here is another one."""

    def _run(self, command, name):
        if "cosyvoice client" in command.text:
            command = command._replace(text=command.text.replace("50000", self.url.rpartition(":")[2]))
        super()._run(command, name)


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_every_endpoint_and_every_field_is_listed():
    endpoints, extra = tables(SECTIONS["Endpoints"])
    extras = set(Extra.__struct_fields__)
    listed = {names(path)[0]: set(names(fields)) for path, fields, _ in endpoints[1:]}
    assert listed == {path: set(kind.__struct_fields__) - extras for path, (_, kind, _) in FORMS.items()}
    assert {names(row[0])[0] for row in extra[1:]} == extras


def test_the_settings_exist():
    assert [names(row[0])[0] for row in tables(SECTIONS["Serving it"])[0][1:]] == list(CompatOptions.__struct_fields__)
    (toml,) = [block.text for block in blocks(PAGE) if block.language == "toml"]
    settings = msgspec.convert(tomllib.loads(toml), Settings)
    msgspec.convert(settings.compat["cosyvoice"].options, CompatOptions)


def test_the_examples_run(tmp_path, checkpoint):
    """The model is the tiny first generation, with the names of the released presets."""
    folder = tmp_path / "pretrained_models" / "CosyVoice-300M-SFT"
    shutil.copytree(checkpoint("v1"), folder)
    presets = torch.load(folder / "spk2info.pt", weights_only=True)
    torch.save(dict(zip(("中文女", "中文男"), presets.values(), strict=False)), folder / "spk2info.pt")
    (tmp_path / "prompt_audio.wav").write_bytes(recording())
    shell = Here(tmp_path, env={"XDG_DATA_HOME": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"})
    try:
        assert shell.follow("docs/compat/cosyvoice.md") >= 10
    finally:
        shell.close()
