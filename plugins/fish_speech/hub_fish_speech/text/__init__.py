"""From the text of a request to the segments that are spoken in one go.

1.x came with its own cleaning and splitting, by bytes of UTF-8; `cleaning` and `splitting` do the same. S1 and S2 take
text as it is; there the hub splits by sentence. Every segment knows its position in the text.
"""
