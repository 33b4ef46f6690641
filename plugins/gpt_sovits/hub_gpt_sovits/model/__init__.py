"""The networks of GPT-SoVITS. Worker side only."""
