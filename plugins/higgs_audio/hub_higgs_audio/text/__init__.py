"""Text on its way to the prompt: cleaned, tagged with its speakers, normalised, split, and timed. Light to import."""
