"""Sound in and out: decoding uploads, encoding answers. numpy, soundfile, av and soxr; no torch."""
