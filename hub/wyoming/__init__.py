"""Wyoming, the protocol of Home Assistant's voice services. Needs the extra `tts-hub[wyoming]`."""
