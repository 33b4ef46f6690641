"""Text -> phones, for Chinese, English, Japanese, Korean and Cantonese, alone and mixed."""

from hub_gpt_sovits.text.cut import METHODS
from hub_gpt_sovits.text.frontend import Piece, Run, TextFrontend
from hub_gpt_sovits.text.languages import LANGUAGES

__all__ = ["LANGUAGES", "METHODS", "Piece", "Run", "TextFrontend"]
