"""Options of requests, of models, and of the family's own routes, beyond the fields that all backends share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

TextLanguage = Literal["zh", "en", "ja", "ko", "yue", "all_zh", "all_ja", "all_ko", "all_yue", "auto", "auto_yue"]
"""`zh` reads Chinese with English in it, `all_zh` takes all but English for Chinese, `auto` decides run by run."""

CutMethod = Literal["cut0", "cut1", "cut2", "cut3", "cut4", "cut5"]
VersionName = Literal["", "v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]


class GptSovitsOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`options` of a request. Names and defaults are those of the family's own `/tts`."""

    text_lang: (
        Annotated[TextLanguage, Meta(description="how the text is read; default: from `language`, else auto")] | None
    ) = None
    prompt_lang: (
        Annotated[TextLanguage, Meta(description="how the reference's transcript is read; default: its `language`")]
        | None
    ) = None
    text_split_method: Annotated[
        CutMethod,
        Meta(
            description="cut0: not at all; cut1: every 4 sentences; cut2: about 50 characters; cut3: at 。; "
            "cut4: at full stops; cut5: at every punctuation mark"
        ),
    ] = "cut5"
    batch_size: Annotated[int, Meta(ge=1, le=200, description="segments that are spoken together")] = 1
    batch_threshold: Annotated[
        float, Meta(ge=0.0, le=1.0, description="how similar in length the segments of a batch must be")
    ] = 0.75
    split_bucket: Annotated[
        bool, Meta(description="sort segments by length into batches; not while streaming or at another speed")
    ] = True
    parallel_infer: Annotated[bool, Meta(description="speak the segments of a batch together")] = True
    fragment_interval: Annotated[float, Meta(ge=0.0, le=10.0, description="seconds of silence after each segment")] = (
        0.3
    )
    streaming_mode: (
        Annotated[
            Literal[0, 1, 2, 3],
            Meta(
                description="0: each batch when it is done; 1: segment by segment; 2: cut at pauses of the tokens; "
                "3: every min_chunk_length tokens; default: tokens in growing chunks if `stream` is asked for, else 0"
            ),
        ]
        | None
    ) = None
    min_chunk_length: Annotated[int, Meta(ge=4, le=500, description="tokens (40 ms each) of a streamed chunk")] = 16
    overlap_length: Annotated[int, Meta(ge=1, le=20, description="tokens that streamed chunks overlap by")] = 2
    sample_steps: Annotated[int, Meta(ge=1, le=128, description="steps of the flow (v3 and v4)")] = 32
    super_sampling: Annotated[
        bool, Meta(description="v3: 24 kHz to 48 kHz by the family's AP-BWE model, which must be beside the weights")
    ] = False
    gpt: Annotated[str, Meta(max_length=300, description="semantic weights (S1) of this request, by file name")] = ""
    sovits: Annotated[str, Meta(max_length=300, description="acoustic weights (S2) of this request, by file name")] = ""


class GptSovitsLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`. Paths are relative to the model's `path`."""

    version: Annotated[
        VersionName, Meta(description="version to load from the folder; default: the best complete one")
    ] = ""
    gpt: Annotated[str, Meta(description="default S1 weights; default: those of the version")] = ""
    sovits: Annotated[str, Meta(description="default S2 weights; default: those of the version")] = ""
    weights: Annotated[
        tuple[str, ...],
        Meta(description="folders with further weights that requests may name; default: the official folders"),
    ] = ()
    hubert: Annotated[str, Meta(description="folder of chinese-hubert-base")] = ""
    bert: Annotated[str, Meta(description="folder of chinese-roberta-wwm-ext-large")] = ""
    text_data: Annotated[str, Meta(description="folder of the official pronunciation tables (GPT_SoVITS/text)")] = ""
    concurrency: Annotated[int, Meta(ge=0, le=64, description="requests spoken at once; 0: 4 on a GPU, else 2")] = 0
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads inside one step; 0: torch's own choice")] = 0
    loaded_weights: Annotated[
        int,
        Meta(ge=1, le=64, description="S1 and S2 files kept in memory, of each; the least recently used are dropped"),
    ] = 4
    warm_up: Annotated[bool, Meta(description="speak a word while loading, so that the first request is quick")] = True


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.gpt_sovits.options]`: options of the family's own routes."""

    model: Annotated[str, Meta(description="model that answers; default: the first of this backend")] = ""
    roots: Annotated[
        tuple[str, ...], Meta(description="folders with recordings that requests may name, besides `references.roots`")
    ] = ()
    control: Annotated[bool, Meta(description="let /control restart the model and stop the hub")] = False
    page: Annotated[str, Meta(description="page to which / redirects; default: the hub's documentation")] = "/docs"
    refer_wav_path: Annotated[str, Meta(description="recording of requests that name none")] = ""
    prompt_text: Annotated[str, Meta(description="transcript of that recording")] = ""
    prompt_language: Annotated[str, Meta(description="its language, as either dialect writes it")] = ""
    text_language: Annotated[str, Meta(description="language of texts that come without one")] = "auto"
