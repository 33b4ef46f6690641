"""The sentences: their lengths are right, and a model gets those of its languages."""

import pytest

from hub.verify.sentences import BEATS_A_SECOND, SENTENCES, languages_of
from hub.verify.words import units


@pytest.mark.parametrize("language", ["zh", "ko"])
def test_a_character_is_a_syllable(language):
    for sentence in SENTENCES[language]:
        assert len(units(sentence.text, language)) == sentence.beats, sentence.text


def test_no_sentence_has_a_digit():
    assert not [sentence for group in SENTENCES.values() for sentence in group if any(map(str.isdigit, sentence.text))]


def test_every_language_has_its_pace():
    assert set(BEATS_A_SECOND) == set(SENTENCES)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ((), {"en": "en", "zh": "zh", "ja": "ja", "ko": "ko"}),
        (("en",), {"en": "en"}),
        (("de", "en-GB", "en-US", "ZH-cn"), {"en": "en-GB", "zh": "ZH-cn"}),
        (("fr",), {}),
    ],
)
def test_a_model_speaks_the_sentences_of_its_languages(declared, expected):
    assert languages_of(declared) == expected
