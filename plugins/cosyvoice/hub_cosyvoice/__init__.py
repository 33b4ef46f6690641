"""CosyVoice for tts-hub. This module registers; it imports nothing heavy."""
