"""The files of a checkpoint -> networks: the language model (`language_model`) and the codec (`codec`).

Loading is strict: every weight is accounted for. Files are read as data, and none of their code is run.
"""
