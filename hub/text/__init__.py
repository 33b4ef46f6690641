"""Text on its way to a model: cleaning, sentences, scripts, pauses, pronunciations, books. All take linear time."""
