"""The sentences that `ttshub verify` has a model speak. Reports are comparable as long as nobody changes them.

They are plain: no digits, no names, no words that a listener could write in two ways.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Sentence(Struct, frozen=True):
    """A sentence and its length in `beats`: syllables, in Japanese morae."""

    language: str
    text: str
    beats: int


BEATS_A_SECOND = {"en": 4.6, "zh": 4.6, "ja": 7.5, "ko": 5.6}
"""The ordinary pace of a person who reads aloud, pauses left out."""

_TEXTS = {
    "en": (
        ("Please close the window before it starts to rain.", 11),
        ("We walked along the river until the sun went down.", 13),
        ("There is fresh bread on the kitchen table.", 10),
        ("Could you tell me the way to the nearest station?", 12),
        ("Nobody knew what had happened to the letter.", 12),
        ("The mountain was covered with snow, but in the valley the apples were still on the trees.", 21),
    ),
    "zh": (
        ("请在下雨之前把窗户关上。", 11),
        ("今天天气很好，我们去公园散步吧。", 14),
        ("厨房的桌子上有新鲜的面包。", 12),
        ("请问去火车站怎么走？", 9),
        ("没有人知道那封信后来怎么样了。", 14),
        ("山上已经下了雪，可是山谷里的苹果还挂在树上。", 20),
    ),
    "ja": (
        ("雨が降る前に窓を閉めてください。", 18),
        ("今日は天気がいいので、公園を散歩しましょう。", 23),
        ("テーブルの上に新しいパンがあります。", 20),
        ("駅までの道を教えてください。", 16),
        ("図書館は月曜日以外、毎日使えます。", 22),
        ("昨日は友達と映画を見て、それから駅の近くのレストランで食事をしました。", 40),
    ),
    "ko": (
        ("비가 오기 전에 창문을 닫아 주세요.", 14),
        ("오늘은 날씨가 좋아서 공원을 산책하고 싶어요.", 19),
        ("부엌 식탁 위에 신선한 빵이 있습니다.", 15),
        ("가장 가까운 역으로 가는 길을 알려 주세요.", 17),
        ("도서관은 월요일을 빼고 매일 문을 엽니다.", 17),
        ("산에는 눈이 쌓였지만 골짜기에는 아직 사과가 나무에 달려 있어요.", 27),
    ),
}

SENTENCES = {
    language: tuple(Sentence(language, text, beats) for text, beats in texts) for language, texts in _TEXTS.items()
}
"""Language -> its sentences."""


def languages_of(declared: Sequence[str]) -> dict[str, str]:
    """Return the languages that have sentences, each with the tag that a model declares for it.

    `declared` are the BCP 47 tags of the model's capabilities; none means any language.
    """
    tags = {tag.lower().split("-")[0]: tag for tag in reversed(declared)}
    return {language: tags.get(language, language) for language in SENTENCES if not declared or language in tags}
