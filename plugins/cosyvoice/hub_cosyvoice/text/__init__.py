"""From a caller's text to the segments that are spoken one after the other."""
