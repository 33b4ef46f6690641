"""Audio in and out: decoding uploads, encoding answers, subtitles. numpy, soundfile, av and soxr; no torch."""
