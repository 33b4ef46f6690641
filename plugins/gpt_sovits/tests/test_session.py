"""Sessions are lent again on a GPU. These tests keep sessions as for CUDA, and compute with them on the CPU."""

import pytest
import torch
from hub_gpt_sovits.checkpoint import load_s1
from hub_gpt_sovits.decoding import Choice, GeneratorDraws, Row, decode
from hub_gpt_sovits.model.semantic import build_semantic
from hub_gpt_sovits.session import Sessions

from plugins.gpt_sovits.tests.support.weights import TINY, save, semantic_file

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("s1") / "s1.ckpt"
    torch.manual_seed(5)
    save(path, semantic_file(TINY))
    return build_semantic(load_s1(path))


@pytest.fixture
def sessions(model):
    return Sessions(model, 2, CUDA)


def test_a_session_is_lent_again_to_as_many_rows(sessions):
    first = sessions.take(1, 300)
    assert (first.rows, first.length) == (1, 512)
    sessions.give_back(first)
    assert sessions.take(2, 300).rows == 2
    assert sessions.take(1, 100) is first
    assert sessions.take(1, 100) is not first
    assert sessions.take(3, 100).rows == 4


def test_a_session_is_clean_when_it_is_lent_again(sessions):
    with torch.inference_mode():  # as within a batch, when it shrinks
        session = sessions.take(1, 100)
        session.seen[:, :7] = False
        session.padded = True
    sessions.give_back(session)
    again = sessions.take(1, 100)
    assert again is session
    assert again.seen.all()
    assert not again.padded


def test_on_a_cpu_each_batch_has_a_session_of_its_own_size(model):
    sessions = Sessions(model, 2)
    session = sessions.take(3, 301)
    assert (session.rows, session.length) == (3, 301)
    sessions.give_back(session)
    assert sessions.take(3, 301) is not session


def test_rows_say_the_same_in_a_longer_session_that_was_used_before(model, sessions):
    with torch.inference_mode():
        rows = [Row(torch.randint(0, 700, (size,)), torch.randn(TINY.bert, size)) for size in (9, 14)]
    prompt = torch.arange(20)

    def said(lent):
        draws = GeneratorDraws(torch.Generator().manual_seed(3))
        *_, states = decode(model, lent, rows, prompt, Choice(), draws)
        return [state.new for state in states]

    alone = said(Sessions(model, 2))
    long = sessions.take(2, 2000)
    sessions.give_back(long)
    assert said(sessions) == alone
    assert said(sessions) == alone
    assert sessions.take(2, 2000) is long


def test_a_session_takes_over_rows_of_a_shorter_or_longer_one(model):
    sessions = Sessions(model, 2)
    for length, other in ((40, 64), (64, 40)):
        whole, fewer = sessions.take(2, length), sessions.take(1, other)
        whole.cache.keys.normal_()
        whole.seen[1, :3] = False
        whole.padded = True
        fewer.adopt(whole, [1], 30)
        assert torch.equal(fewer.cache.keys[:, 0, :, :30], whole.cache.keys[:, 1, :, :30])
        assert fewer.padded
        assert fewer.seen[0].tolist() == [False] * 3 + [True] * (other - 3)
