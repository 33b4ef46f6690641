"""A caller's text -> the segments that are spoken one after the other."""
