"""docs/models.md: its session is run."""


def test_the_page_works(shell):
    assert shell.follow("docs/models.md") >= 4
