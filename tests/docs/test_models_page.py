"""docs/models.md: its examples run."""


def test_the_examples_run(shell):
    assert shell.follow("docs/models.md") >= 4
