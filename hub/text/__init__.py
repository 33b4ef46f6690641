"""Text on its way to a model: cleaning, sentences, scripts. Standard library only; all of it in linear time."""
