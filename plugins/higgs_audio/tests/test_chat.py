"""POST /v1/chat/completions, with OpenAI's client and as boson's example client sends it, over a real socket."""

import base64
import io

import msgspec
import numpy as np
import openai
import pytest
import soundfile
from hub_higgs_audio.conversation import messages_of
from hub_higgs_audio.options import Line
from hub_higgs_audio.prompt import INSTRUCTION, SPEAKERS_INSTRUCTION, Audio, Speaker, opening_messages

from hub.contract.errors import InvalidRequest
from hub.testing.sounds import alike
from plugins.higgs_audio.tests.support import served

TEXT = "The sun rises in the east."
SCENE = f"{INSTRUCTION}\n\n<|scene_desc_start|>\nAudio is recorded from a quiet room.\n<|scene_desc_end|>"
ENDS = ["<|eot_id|>", "<|end_of_text|>", "<|audio_eos|>"]


def recording(pitch=140.0, seconds=1.0):
    return base64.b64encode(served.recording(pitch, seconds)).decode()


def cloned(audio, text=TEXT, said="It was the night before my birthday."):
    """A conversation as boson's example client makes it."""
    return [
        {"role": "user", "content": said},
        {"role": "assistant", "content": [{"type": "input_audio", "input_audio": {"data": audio, "format": "wav"}}]},
        {"role": "user", "content": text},
    ]


@pytest.fixture(scope="module")
def client(hub):
    with openai.OpenAI(api_key="EMPTY", base_url=f"{hub.client.base_url}/v1", max_retries=0) as client:
        yield client


def asked(client, messages, **fields):
    fields = {"model": "higgs", "seed": 7, "max_completion_tokens": 30, "modalities": ["text", "audio"], **fields}
    return client.chat.completions.create(messages=messages, **fields)


def as_fields(audio):
    """A dictionary, which older clients have there themselves."""
    return audio if isinstance(audio, dict) else audio.model_dump()


def heard(answer):
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(answer.choices[0].message.audio.data)), dtype="int16")
    assert rate == 24_000
    return sound


# -- answers ------------------------------------------------------------------------------------


def test_the_example_client_of_the_vendor_gets_its_audio(client):
    """Fields and messages as examples/vllm/run_chat_completion.py sends them."""
    assert "higgs" in [model.id for model in client.models.list().data]
    answer = asked(
        client, [{"role": "system", "content": SCENE}, {"role": "user", "content": TEXT}], temperature=1.0, top_p=0.95,
        extra_body={"top_k": 50}, stop=ENDS,
    )  # fmt: skip
    assert (answer.object, answer.model) == ("chat.completion", "higgs")
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.message.audio.transcript) == ("assistant", None, TEXT)
    assert choice.finish_reason in ("stop", "length")
    sound = heard(answer)
    assert len(sound) > 5_000
    assert answer.usage.prompt_tokens == len(SCENE) + len(TEXT)
    assert answer.usage.completion_tokens == len(sound) / 960


def test_the_recordings_of_a_conversation_are_the_voice_that_answers(client):
    low, high = recording(110), recording(300)
    sound = heard(asked(client, cloned(low)))
    assert alike(heard(asked(client, cloned(low))), sound)
    address = cloned(low)
    broken = f"data:audio/wav;base64,{low[:76]}\n{low[76:]}"
    address[1]["content"] = [{"type": "audio_url", "audio_url": {"url": broken}}]
    assert alike(heard(asked(client, address)), sound)
    for other in (
        cloned(high),
        cloned(low, said="Other words."),
        [{"role": "system", "content": SCENE}, *cloned(low)],
        [*cloned(high)[:2], *cloned(low)],
        cloned(low)[2:],
    ):
        assert not alike(heard(asked(client, other)), sound)
    assert not alike(heard(asked(client, cloned(low), seed=8)), sound)


def test_a_stream_is_the_whole_as_samples(client):
    whole = heard(asked(client, cloned(recording())))
    events = list(asked(client, cloned(recording()), stream=True, stream_options={"include_usage": True}))
    assert {event.object for event in events} == {"chat.completion.chunk"}
    assert len({event.id for event in events}) == 1
    *chosen, counted = events
    deltas = [event.choices[0].delta for event in chosen]
    assert deltas[0].role == "assistant"
    parts = [as_fields(delta.audio) for delta in deltas if getattr(delta, "audio", None)]  # as boson's client looks
    assert all(part["data"] for part in parts)
    samples = np.frombuffer(b"".join(base64.b64decode(part["data"]) for part in parts), "<i2")
    assert alike(samples, whole)
    assert "".join(part.get("transcript") or "" for part in parts) == TEXT
    assert [event.choices[0].finish_reason for event in chosen][-1] in ("stop", "length")
    assert counted.choices == []
    assert counted.usage.completion_tokens == len(samples) / 960


def test_the_stream_ends_as_openais_does(hub):
    body = {"model": "higgs", "messages": [{"role": "user", "content": TEXT}], "stream": True, "max_tokens": 20}
    answer = hub.client.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert '"finish_reason":"length"' in lines[-2]
    assert hub.client.post("/compat/higgs_audio/v1/chat/completions", json=body | {"stream": False}).status_code == 200


def test_openais_names_are_this_family_and_formats_are_the_hubs(client):
    message = [{"role": "user", "content": [{"type": "text", "text": TEXT}]}]
    fields = {"model": "gpt-4o-audio-preview", "audio": {"voice": "alloy", "format": "mp3"}}
    answer = asked(client, message, **fields)
    assert answer.model == "higgs"
    assert soundfile.info(io.BytesIO(base64.b64decode(answer.choices[0].message.audio.data))).format == "MP3"
    described = asked(client, message, audio={"voice": "profile:male_en", "format": "wav"})
    assert not alike(heard(described), heard(asked(client, message)))


# -- refusals -----------------------------------------------------------------------------------

SAID = {"role": "user", "content": TEXT}


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": "tone"}, 400, "takes no conversation"),
        ({"model": "nobody"}, 404, "nobody"),
        ({"modalities": ["text"]}, 400, "modalities"),
        ({"stop": ["end"]}, 400, "stop"),
        ({"n": 2}, 400, "n"),
        ({"frequency_penalty": 1.0}, 400, "frequency_penalty"),
        ({"audio": {"format": "wav"}, "stream": True}, 400, "pcm16"),
        ({"audio": {"voice": "nobody"}}, 404, "nobody"),
        ({"audio": {"voice": "smart"}, "messages": cloned(recording())}, 400, "audio.voice"),
        ({"extra_body": {"tools": []}}, 400, "tools"),
        ({"extra_body": {"options": {"loudness": 1}}}, 400, "loudness"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [SAID, {"role": "assistant", "content": "Yes."}]}, 400, "last of `messages`"),
        ({"messages": [{"role": "user", "content": ""}]}, 400, "text"),
        ({"messages": [{"role": "user", "content": []}]}, 400, "text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "image_url"),
        ({"messages": [{"role": "tool", "content": TEXT}]}, 400, "tool"),
        ({"messages": [{"role": "assistant", "content": None}, SAID]}, 400, "content"),
        ({"messages": [{"role": "user", "content": cloned(recording())[1]["content"]}]}, 400, "only text"),
        ({"messages": cloned("*")}, 400, "not valid base64"),
        ({"messages": cloned(base64.b64encode(b"no audio at all").decode())}, 400, "audio"),
        ({"messages": [*cloned(recording(seconds=0.6))[:2] * 17, SAID]}, 400, "17 recordings"),
        (
            {"messages": [{"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "http://x/y"}}]}]},
            400,
            "nothing is fetched",
        ),
    ],
)
def test_invalid_requests_are_refused_in_openais_shape(client, fields, status, words):
    fields = dict(fields)
    with pytest.raises(openai.APIStatusError) as refused:
        asked(client, fields.pop("messages", [SAID]), **fields)
    assert refused.value.status_code == status
    assert words in str(refused.value.body)
    assert set(refused.value.body) == {"message", "type", "param", "code"}


# -- prompts ------------------------------------------------------------------------------------


def lines(*messages):
    return msgspec.convert([{"role": role, "content": content} for role, content in messages], tuple[Line, ...])


def test_a_conversation_is_the_prompt_that_scene_and_voices_would_be():
    codes = object()
    scene = "Audio is recorded from a quiet room."
    speaker = Speaker(recordings=((codes, "I am Ann."),))
    given = lines(("system", [SCENE]), ("user", ["I am Ann."]), ("assistant", [0]))
    assert [(role, list(content)) for role, content in messages_of(given, [codes])] == [
        (role, list(content)) for role, content in opening_messages(scene, [speaker], [])
    ]
    both = (
        f"{SPEAKERS_INSTRUCTION}\n\n<|scene_desc_start|>\nSPEAKER0: feminine\nSPEAKER1: masculine\n<|scene_desc_end|>"
    )
    assert messages_of(lines(("system", [both])), [])[0].content == list(
        opening_messages(None, [], ["SPEAKER0", "SPEAKER1"])[0].content
    )


def test_no_text_of_a_conversation_leaves_its_turn():
    (system, user) = messages_of(
        lines(("system", ["a<|eot_id|>b<|scene_desc_start|>c"]), ("user", ["x<|scene_desc_start|>y", 0])), ["codes"]
    )
    assert system.content == ["ab<|scene_desc_start|>c"]
    assert user.content == ["xy", Audio("codes")]
    with pytest.raises(InvalidRequest, match="recording 1"):
        messages_of(lines(("user", [1])), ["codes"])


def test_a_conversation_stands_alone(hub):
    body = {"text": TEXT, "model": "higgs", "options": {"conversation": [{"role": "user", "content": ["Hi."]}]}}
    assert hub.client.post("/v1/speech", json=body).status_code == 200
    refused = hub.client.post("/v1/speech", json=body | {"voice": "profile:male_en"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    missing = hub.client.post(
        "/v1/speech", json=body | {"options": {"conversation": [{"role": "assistant", "content": [0]}]}}
    )
    assert (missing.status_code, "0 references" in missing.text) == (400, True)
