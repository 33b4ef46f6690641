"""The yaml of a checkpoint, read as data.

CosyVoice's yaml files are HyperPyYAML: their tags import and call whatever they name. Here `!new:`, `!name:` and
`!apply:` only become a `Node` with the name and the arguments, and `!ref` is looked up. A yaml with a name that
CosyVoice's own files do not have is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hub.contract.errors import WorkerStartFailed

Generation = Literal[1, 2, 3]

FILES: dict[str, Generation] = {"cosyvoice.yaml": 1, "cosyvoice2.yaml": 2, "cosyvoice3.yaml": 3}
"""The yaml of each generation, in the order of the search."""

PARTS: dict[Generation, tuple[str, str, str]] = {
    1: (
        "cosyvoice.llm.llm.TransformerLM",
        "cosyvoice.flow.flow.MaskedDiffWithXvec",
        "cosyvoice.hifigan.generator.HiFTGenerator",
    ),
    2: (
        "cosyvoice.llm.llm.Qwen2LM",
        "cosyvoice.flow.flow.CausalMaskedDiffWithXvec",
        "cosyvoice.hifigan.generator.HiFTGenerator",
    ),
    3: (
        "cosyvoice.llm.llm.CosyVoice3LM",
        "cosyvoice.flow.flow.CausalMaskedDiffWithDiT",
        "cosyvoice.hifigan.generator.CausalHiFTGenerator",
    ),
}
"""The classes of language model, flow and vocoder that a yaml of each generation must name."""

KNOWN = frozenset(name for names in PARTS.values() for name in names) | {
    "cosyvoice.flow.DiT.dit.DiT",
    "cosyvoice.flow.decoder.CausalConditionalDecoder",
    "cosyvoice.flow.decoder.ConditionalDecoder",
    "cosyvoice.flow.flow_matching.CausalConditionalCFM",
    "cosyvoice.flow.flow_matching.ConditionalCFM",
    "cosyvoice.flow.length_regulator.InterpolateRegulator",
    "cosyvoice.hifigan.discriminator.MultiResSpecDiscriminator",
    "cosyvoice.hifigan.discriminator.MultipleDiscriminator",
    "cosyvoice.hifigan.f0_predictor.CausalConvRNNF0Predictor",
    "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
    "cosyvoice.hifigan.hifigan.HiFiGan",
    "cosyvoice.llm.llm.Qwen2Encoder",
    "cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer",
    "cosyvoice.tokenizer.tokenizer.get_tokenizer",
    "cosyvoice.transformer.encoder.ConformerEncoder",
    "cosyvoice.transformer.encoder.TransformerEncoder",
    "cosyvoice.transformer.upsample_encoder.PreLookaheadLayer",
    "cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder",
    "cosyvoice.utils.common.ras_sampling",
    "matcha.hifigan.models.MultiPeriodDiscriminator",
    "matcha.utils.audio.mel_spectrogram",
    "numpy.random.seed",
    "omegaconf.DictConfig",
    "random.seed",
    "torch.cuda.manual_seed_all",
    "torch.manual_seed",
    "whisper.tokenizer.get_tokenizer",
}
"""Every name in CosyVoice's own yaml files, except the steps of its training data."""

TRAINING = "cosyvoice.dataset.processor."
"""Prefixes of the names of training steps, which are known and not used here."""

_REFERENCE = re.compile(r"<([A-Za-z0-9_]+)>")
_PRODUCT = re.compile(r"\s*<([A-Za-z0-9_]+)>\s*\*\s*<([A-Za-z0-9_]+)>\s*")


@dataclass(frozen=True)
class Node:
    """A tag of the yaml: the dotted `name`, and its keyword arguments as `values`.

    Values are scalars, lists, dicts and further Nodes; references are resolved. `where` is its position, for errors.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    where: str = ""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        if key not in self.values:
            raise WorkerStartFailed(f"{self.where} has no {key!r}: the checkpoint's yaml is not complete")
        return self.values[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        return self.values.get(key, default)


@dataclass(frozen=True)
class Config:
    """A checkpoint's yaml: its generation, the rate of its audio in Hz, and the nodes of its parts.

    `chunk_size` is the hop of the streaming attention masks in tokens (0 in the first generation).
    """

    file: str
    generation: Generation
    sample_rate: int
    llm: Node
    flow: Node
    hift: Node
    mel: Node
    tokenizer: Node
    chunk_size: int

    @property
    def token_rate(self) -> int:
        """Speech tokens a second."""
        return int(self.flow.get("input_frame_rate", 50))


def read_config(folder: Path) -> Config:
    """The Config of the checkpoint in `folder`.

    Raises WorkerStartFailed if there is no yaml of CosyVoice, if it names anything else, or if its parts do not belong
    to one generation.
    """
    for file, generation in FILES.items():
        if (folder / file).is_file():
            return _config(folder / file, generation)
    raise WorkerStartFailed(f"the folder is not a checkpoint of CosyVoice: it has none of {', '.join(FILES)}")


def _config(path: Path, generation: Generation) -> Config:
    root = _read(path)
    found: list[Node] = []
    for key, wanted in zip(("llm", "flow", "hift"), PARTS[generation], strict=True):
        node = root.get(key)
        if not isinstance(node, Node) or node.name != wanted:
            what = node.name if isinstance(node, Node) else "nothing"
            raise WorkerStartFailed(f"{path.name} names {what} as its {key}; generation {generation} has {wanted}")
        found.append(node)
    for key, kind in (("sample_rate", int), ("feat_extractor", Node), ("get_tokenizer", Node)):
        if not isinstance(root.get(key), kind):
            raise WorkerStartFailed(f"{path.name} has no usable {key!r}: the checkpoint's yaml is not complete")
    return Config(
        file=path.name,
        generation=generation,
        sample_rate=root["sample_rate"],
        llm=found[0],
        flow=found[1],
        hift=found[2],
        mel=root["feat_extractor"],
        tokenizer=root["get_tokenizer"],
        chunk_size=int(root.get("chunk_size", 0 if generation == 1 else 25)),
    )


@dataclass(frozen=True)
class _Ref:
    text: str


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            tree = yaml.load(file, Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = getattr(error, "problem", None) or type(error).__name__
        raise WorkerStartFailed(f"{path.name} cannot be read: {problem}") from error
    if not isinstance(tree, dict):
        raise WorkerStartFailed(f"{path.name} is not a yaml of CosyVoice: its top level is not a mapping")
    return _Resolver(path.name, tree).resolved()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML brings no types
    """yaml's safe loader, with the tags of HyperPyYAML as data."""


def _make_node(loader: _Loader, name: str, node: yaml.Node) -> Node:
    if name not in KNOWN and not name.startswith(TRAINING):
        raise yaml.constructor.ConstructorError(
            None, None, f"it names {name[:100]!r}, which CosyVoice does not have", node.start_mark
        )
    values: dict[str, Any] = {}
    if isinstance(node, yaml.MappingNode):
        values = {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}
    return Node(name, values)


def _make_reference(loader: _Loader, node: yaml.Node) -> _Ref:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "a !ref is not a scalar", node.start_mark)
    return _Ref(str(loader.construct_scalar(node)))


for _tag in ("!new:", "!name:", "!apply:"):
    _Loader.add_multi_constructor(_tag, _make_node)
_Loader.add_constructor("!ref", _make_reference)


class _Resolver:
    """Replaces each `!ref` by its value, and notes in each Node where it is."""

    def __init__(self, file: str, tree: dict[str, Any]) -> None:
        self._file = file
        self._tree = tree

    def resolved(self) -> dict[str, Any]:
        return {str(key): self._value(value, str(key), ()) for key, value in self._tree.items()}

    def _value(self, value: Any, where: str, passed: tuple[str, ...]) -> Any:
        if isinstance(value, _Ref):
            return self._reference(value.text, where, passed)
        if isinstance(value, Node):
            values = {key: self._value(inner, f"{where}.{key}", passed) for key, inner in value.values.items()}
            return Node(value.name, values, f"{self._file}: {where}")
        if isinstance(value, dict):
            return {key: self._value(inner, f"{where}.{key}", passed) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, where, passed) for inner in value]
        return value

    def _reference(self, text: str, where: str, passed: tuple[str, ...]) -> Any:
        if single := _REFERENCE.fullmatch(text.strip()):
            return self._named(single.group(1), where, passed)
        if product := _PRODUCT.fullmatch(text):
            left, right = (self._named(name, where, passed) for name in product.groups())
            if isinstance(left, int | float) and isinstance(right, int | float):
                return left * right
        raise WorkerStartFailed(f"{self._file}: the reference {text[:60]!r} of {where} cannot be read")

    def _named(self, name: str, where: str, passed: tuple[str, ...]) -> Any:
        if name in passed or name not in self._tree:
            raise WorkerStartFailed(f"{self._file}: {where} refers to {name!r}, which does not exist")
        return self._value(self._tree[name], name, (*passed, name))
