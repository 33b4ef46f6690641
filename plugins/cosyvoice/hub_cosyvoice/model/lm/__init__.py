"""The language models: text and prompt speech -> logits of speech tokens."""
