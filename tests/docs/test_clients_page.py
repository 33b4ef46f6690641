"""docs/clients.md: its examples run."""


def test_the_examples_run(shell):
    assert shell.follow("docs/clients.md") >= 3
