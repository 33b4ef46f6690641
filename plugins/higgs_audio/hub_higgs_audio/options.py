"""Options: of a request, of a model in `hub.toml`, and of the HTTP API that Higgs Audio servers have."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

ChunkMethod = Literal["sentence", "speaker", "word"]


class Line(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A message of a conversation: texts, and recordings by their number among the request's `references`, from 0."""

    role: Literal["system", "user", "assistant"]
    content: tuple[str | int, ...]


class HiggsOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`options` of a request."""

    chunk_method: (
        Annotated[
            ChunkMethod,
            Meta(
                description="where a long text is split into chunks: between sentences (sentence), at each speaker's "
                "turn (speaker), after a number of words (word); null: nowhere"
            ),
        ]
        | None
    ) = "sentence"
    chunk_max_word_num: (
        Annotated[int, Meta(ge=1, le=10_000, description="words of a chunk; null: 60 by sentence, 200 by word")] | None
    ) = None
    chunk_max_num_turns: Annotated[int, Meta(ge=1, le=10_000, description="turns of a chunk, by speaker")] = 1
    generation_chunk_buffer_size: (
        Annotated[int, Meta(ge=1, le=10_000, description="earlier chunks that stay in the prompt; null: all of them")]
        | None
    ) = 2
    ras_win_len: Annotated[
        int, Meta(ge=0, le=8192, description="columns in which a repeated token is redrawn; 0: never redraw")
    ] = 7
    ras_win_max_num_repeat: Annotated[
        int, Meta(ge=1, le=8192, description="number of occurrences there from which a token is redrawn")
    ] = 2
    ref_audio_in_system_message: Annotated[
        bool, Meta(description="put reference recordings into the system message, where transcripts are not read")
    ] = False
    force_audio: Annotated[
        bool, Meta(description="begin every answer with audio; false: the model may write text first, or only text")
    ] = True
    early: Annotated[
        bool,
        Meta(description="send the first packet 400 ms of audio earlier, its join with the next faded over 20 ms"),
    ] = False
    max_silence: (
        Annotated[float, Meta(ge=0.5, le=60.0, description="seconds of silence that end a chunk; null: none do")] | None
    ) = 3.0
    length_budget: Annotated[
        bool, Meta(description="end a chunk that lasts several times as long as its text can take")
    ] = True
    retry: Annotated[
        bool,
        Meta(
            description="speak a chunk again, once and with another seed, if it is empty or its length is implausible"
        ),
    ] = True
    conversation: Annotated[
        tuple[Line, ...],
        Meta(
            max_length=100,
            description="the messages before the text, instead of a scene and of voices; content "
            "is texts, and numbers that stand for recordings among the request's `references`",
        ),
    ] = ()


class HiggsLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    codec: Annotated[str, Meta(description="folder of the codec; default: in or beside the model's own folder")] = ""
    codec_device: Annotated[str, Meta(description="device of the codec, such as cpu; default: the model's")] = ""
    profiles: Annotated[
        str, Meta(description="a profile.yaml with described voices; default: one in the model's folder, or ours")
    ] = ""
    max_new_tokens: Annotated[
        int, Meta(ge=1, le=100_000, description="tokens of a chunk where a request sets no limit; 25 make a second")
    ] = 2048
    max_positions: Annotated[
        int, Meta(ge=64, le=1_000_000, description="positions that prompt and answer of a chunk may take together")
    ] = 8192
    streams: Annotated[int, Meta(ge=1, le=64, description="requests that the model works on at once")] = 4
    first_frames: Annotated[int, Meta(ge=1, le=1000, description="frames of 40 ms in the first packet")] = 5
    packet_frames: Annotated[int, Meta(ge=1, le=1000, description="frames of 40 ms in each later packet")] = 25


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.higgs_audio.options]`."""

    model: Annotated[str, Meta(description="the model that answers; default: the first of this backend")] = ""
    voice_prompts: Annotated[
        str,
        Meta(description="folder with NAME.wav and NAME.txt, read again for each request; added to the hub's voices"),
    ] = ""
    failures_as_200: Annotated[
        bool, Meta(description='answer failures of /generate with 200 and "success": false, as the original server')
    ] = False
