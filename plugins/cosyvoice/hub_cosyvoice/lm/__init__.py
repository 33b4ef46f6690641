"""The language models: text and prompt speech -> speech tokens."""
