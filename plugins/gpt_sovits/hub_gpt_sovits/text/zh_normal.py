"""Chinese text -> characters and punctuation: numbers, dates, times, measures, formulas and Greek letters in words.

The rules for numbers, dates and telephones, and the table of traditional characters, are PaddleSpeech's, from the
package misaki; the rules below are what the family's front end adds. The parity cases pin the results.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from misaki.zh_normalization import chronology, constants, num, phonecode, quantifier
from misaki.zh_normalization.char_convert import tranditional_to_simplified as to_simplified

from hub_gpt_sovits.tokenizer import PUNCTUATION_CLASS

_CLAUSE_END = re.compile(r"([：、，；。？！,;?!][”’]?)")
_DROPPED = re.compile(r"[—《》【】<>{}()（）#&@“”^_|\\]")
_DROPPED_LATE = re.compile(r"[-—《》【】<=>{}()（）#&@“”^_|\\]")

_UNITS = {
    "cm2": "平方厘米", "cm²": "平方厘米", "cm3": "立方厘米", "cm³": "立方厘米", "cm": "厘米", "db": "分贝",
    "ds": "毫秒", "kg": "千克", "km": "千米", "m2": "平方米", "m²": "平方米", "m³": "立方米", "m3": "立方米",
    "ml": "毫升", "m": "米", "mm": "毫米", "s": "秒",
}  # fmt: skip
"""Written unit -> its name, replaced in this order (so `mm` is read as two metres, as upstream reads it)."""

_MEASURED = "|".join(["%", "°C", "℃", "度", "摄氏度", *_UNITS])
_NUMBER = r"(?:-?\d+(?:\.\d+)?|\.\d+)"
_MEASURED_RANGE = re.compile(rf"{_NUMBER}(?:{_MEASURED})~{_NUMBER}(?:{_MEASURED})")

_POWERS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ", "0123456789xyn", strict=True))
_POWER = re.compile(f"[{''.join(_POWERS)}]+")
_TERM = rf"(?:-?\d+(?:\.\d+)?[{''.join(_POWERS)}]*|\.\d+[{''.join(_POWERS)}]*|[A-Za-z][{''.join(_POWERS)}]*)"
_SUM = re.compile(rf"({_TERM})([-+×÷=])({_TERM})")
_SIGNS = {"+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等于"}

_RANGE = re.compile(r"(?<![\d+\-×÷=])(-?\d+(?:\.\d+)?)[-~](-?\d+(?:\.\d+)?)(?![\d+\-×÷=])")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?(?:\.\d+)+")

_COUNTED_BY = (
    "处台架枚趟幅平方堵间床株批项例列篇栋注亩封艘把目套段人所朵匹张座回场尾条个首阙阵网炮顶丘棵只支袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪钟队单双对出口头"
    "脚板跳枝件贴针线管名位身堂课本页家户层丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常铺程米撮勺合升斗盘碗碟叠桶笼盆盒杯斛锅簋篮罐瓶壶卮盏箩箱煲啖袋钵年月日季刻时周天秒旬纪"
    "岁世更夜春夏秋冬代伏辈丸泡粒幢堆根道面片块元角毛吨百千万亿"
)
_COUNT = re.compile(rf"(\d+)([多余几+])?([{_COUNTED_BY}]|微[克米]|公分|小时|美元|十吨)")

ZERO, MINUS = "零", "负"

_NAMES = str.maketrans(
    {
        "/": "每", "+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等",
        **dict(zip("①②③④⑤⑥⑦⑧⑨⑩", "一二三四五六七八九十", strict=True)),
        "α": "阿尔法", "β": "贝塔", "γ": "伽玛", "Γ": "伽玛", "δ": "德尔塔", "Δ": "德尔塔", "ε": "艾普西龙",
        "ζ": "捷塔", "η": "依塔", "θ": "西塔", "Θ": "西塔", "ι": "艾欧塔", "κ": "喀帕", "λ": "拉姆达", "Λ": "拉姆达",
        "μ": "缪", "ν": "拗", "ξ": "克西", "Ξ": "克西", "ο": "欧米克伦", "π": "派", "Π": "派", "ρ": "肉",
        "ς": "西格玛", "Σ": "西格玛", "σ": "西格玛", "τ": "套", "υ": "宇普西龙", "φ": "服艾", "Φ": "服艾",
        "χ": "器", "ψ": "普赛", "Ψ": "普赛", "ω": "欧米伽", "Ω": "欧米伽",
    }
)  # fmt: skip
"""Names of the signs that are left after the formulas, of circled numbers and of Greek letters."""


def _number(written: str) -> str:
    """`3.20` -> 三点二零. Of several zeros at the end of the decimals only one is said."""
    whole, _, decimals = written.partition(".")
    words: str = num.verbalize_cardinal(whole)
    decimals = decimals.rstrip("0") + decimals[-1:] if decimals.endswith("0") else decimals
    return f"{words or ZERO}点{num.verbalize_digit(decimals)}" if decimals else words


def _signed(written: str, below_zero: str = MINUS) -> str:
    return below_zero + _number(written[1:]) if written.startswith("-") else _number(written)


def _temperature(match: re.Match[str]) -> str:
    return _signed(match[1] + match[2], "零下") + ("摄氏度" if match[4] == "摄氏度" else "度")


def _measures(sentence: str) -> str:
    for unit, name in _UNITS.items():
        sentence = sentence.replace(unit, name)
    return sentence


def _sums(sentence: str) -> str:
    while _SUM.search(sentence):
        sentence = _SUM.sub(lambda sum_: sum_[1] + _SIGNS[sum_[2]] + sum_[3], sentence)
    return sentence


def _count(match: re.Match[str]) -> str:
    number = _number(match[1])
    more = "多" if match[2] == "+" else match[2] or ""
    return f"{'两' if number == '二' else number}{more}{match[3]}"


def _sub(pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> Callable[[str], str]:
    return lambda sentence: pattern.sub(replace, sentence)


_STEPS: tuple[Callable[[str], str], ...] = (
    to_simplified,
    lambda sentence: sentence.translate(constants.F2H_ASCII_LETTERS).translate(constants.F2H_DIGITS),
    _sub(chronology.RE_DATE, chronology.replace_date),
    _sub(chronology.RE_DATE2, chronology.replace_date2),
    _sub(chronology.RE_TIME_RANGE, chronology.replace_time),
    _sub(chronology.RE_TIME, chronology.replace_time),
    _sub(_MEASURED_RANGE, lambda range_: range_[0].replace("~", "至")),
    _sub(quantifier.RE_TEMPERATURE, _temperature),
    _measures,
    _sums,
    _sub(_POWER, lambda power: "的" + "".join(_POWERS[sign] for sign in power[0]) + "次方"),
    _sub(num.RE_FRAC, lambda part: f"{part[1] and MINUS}{_number(part[3])}分之{_number(part[2])}"),
    _sub(num.RE_PERCENTAGE, lambda percent: f"{percent[1] and MINUS}百分之{_number(percent[2])}"),
    _sub(phonecode.RE_MOBILE_PHONE, phonecode.replace_mobile),
    _sub(phonecode.RE_TELEPHONE, phonecode.replace_phone),
    _sub(phonecode.RE_NATIONAL_UNIFORM_NUMBER, phonecode.replace_phone),
    _sub(_RANGE, lambda range_: f"{_signed(range_[1])}到{_signed(range_[2])}"),
    _sub(num.RE_INTEGER, lambda number: _signed(number[0])),
    _sub(_VERSION, lambda version: "".join("点" if sign == "." else _number(sign) for sign in version[0])),
    _sub(num.RE_DECIMAL_NUM, lambda number: _signed(number[0])),
    _sub(_COUNT, _count),
    _sub(num.RE_DEFAULT_NUM, num.replace_default_num),
    _sub(num.RE_NUMBER, lambda number: _signed(number[0])),
    lambda sentence: _DROPPED_LATE.sub("", sentence.translate(_NAMES)),
)
"""The rules for each sentence, in their order: the longer and more special ones come first."""


def sentences_in_words(text: str) -> list[str]:
    """`text` clause by clause, written out; punctuation and other characters stay as they are."""
    text = _CLAUSE_END.sub(r"\1\n", _DROPPED.sub("", text.replace(" ", "")))
    sentences = []
    for sentence in re.split(r"\n+", text.strip()):
        sentence = sentence.strip()
        for step in _STEPS:
            sentence = step(sentence)
        sentences.append(sentence)
    return sentences


_MANDARIN_PUNCTUATION = {
    "：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ",", "...": "…",
    "$": ".", "/": ",", "—": "-", "~": "…", "～": "…", "嗯": "恩", "呣": "母",
}  # fmt: skip
_CANTONESE_PUNCTUATION = {
    "：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ",", "...": "…",
    "$": ".", "—": "-", "~": "-", "～": "-",
}  # fmt: skip
_UNREADABLE = re.compile(rf"[^\u4e00-\u9fa5{PUNCTUATION_CLASS}]+")
_REPEATED = re.compile(rf"([{PUNCTUATION_CLASS}])[{PUNCTUATION_CLASS}]+")


def _readable(sentence: str, punctuation: dict[str, str]) -> str:
    pattern = "|".join(map(re.escape, punctuation))
    return _UNREADABLE.sub("", re.sub(pattern, lambda sign: punctuation[sign[0]], sentence))


def normal_mandarin(text: str) -> str:
    """`text` as Mandarin is read: CJK characters U+4E00 to U+9FA5 and `! ? … , . -`, without repeated punctuation."""
    text = _plain_digits(text)
    return _REPEATED.sub(r"\1", "".join(_readable(part, _MANDARIN_PUNCTUATION) for part in sentences_in_words(text)))


def normal_cantonese(text: str) -> str:
    """The same for Cantonese, whose punctuation may repeat."""
    return "".join(_readable(part, _CANTONESE_PUNCTUATION) for part in sentences_in_words(_plain_digits(text)))


def _plain_digits(text: str) -> str:
    """`text` with the digits of all scripts as 0 to 9: the rules match all of them, but can read only these."""
    return re.sub(r"[^\x00-\x7f０-９]", lambda match: str(unicodedata.decimal(match[0], match[0])), text)
