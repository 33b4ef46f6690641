"""Lane: order, limits and deadlines; no place is ever lost."""

import asyncio
import random

import pytest

from hub.contract.errors import Busy, DeadlineExceeded
from hub.service.models.lane import Lane

pytestmark = pytest.mark.anyio


def far():
    return asyncio.get_running_loop().time() + 60


async def enter_later(lane, until=None):
    task = asyncio.create_task(lane.enter(until or far()))
    await asyncio.sleep(0)
    return task


async def test_places_are_given_in_order_of_arrival():
    lane = Lane("m", queue=10, concurrency=1)
    first = await lane.enter(far())
    second, third = await enter_later(lane), await enter_later(lane)
    assert lane.waiting == 2
    first.leave()
    slot = await second
    assert not third.done()
    slot.leave()
    (await third).leave()
    assert (lane.running, lane.waiting) == (0, 0)


async def test_a_newcomer_does_not_overtake_the_queue():
    lane = Lane("m", queue=10, concurrency=1)
    first = await lane.enter(far())
    second = await enter_later(lane)
    first.leave()  # the place is now promised to the second, which has not run yet
    third = await enter_later(lane)
    (await second).leave()
    (await third).leave()


async def test_a_full_queue_refuses_with_a_computed_wait():
    lane = Lane("m", queue=2, concurrency=2)
    for _ in range(2):
        await lane.enter(far())
    waiting = [await enter_later(lane) for _ in range(2)]
    lane._pace = 10.0
    with pytest.raises(Busy) as refusal:
        await lane.enter(far())
    assert refusal.value.retry_after == 15.0  # three requests over two places at ten seconds each
    assert refusal.value.status == 429
    for task in waiting:
        task.cancel()


async def test_the_pace_is_learnt_from_finished_requests():
    lane = Lane("m", queue=0, concurrency=1)
    lane._pace = 30.0
    for _ in range(30):
        (await lane.enter(far())).leave()
    assert lane.retry_after() == 1.0


async def test_a_deadline_ends_the_waiting_and_frees_the_place():
    lane = Lane("m", queue=1, concurrency=1)
    slot = await lane.enter(far())
    with pytest.raises(DeadlineExceeded) as error:
        await lane.enter(asyncio.get_running_loop().time() + 0.01)
    assert error.value.retry_after >= 1
    assert lane.waiting == 0
    slot.leave()
    (await lane.enter(far())).leave()


async def test_cancel_while_queued_frees_the_place():
    lane = Lane("m", queue=5, concurrency=1)
    slot = await lane.enter(far())
    waiting = await enter_later(lane)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert lane.waiting == 0
    slot.leave()
    assert lane.running == 0


async def test_a_cancel_at_the_moment_of_its_turn_passes_the_place_on():
    lane = Lane("m", queue=5, concurrency=1)
    slot = await lane.enter(far())
    second, third = await enter_later(lane), await enter_later(lane)
    slot.leave()
    second.cancel()
    (await third).leave()
    assert (lane.running, lane.waiting) == (0, 0)


async def test_a_turn_that_comes_just_after_its_caller_gave_up_is_passed_on():
    lane = Lane("m", queue=10, concurrency=1)
    first = await lane.enter(far())
    second, third = await enter_later(lane), await enter_later(lane)
    second.cancel()
    first.leave()  # before `second` has run again
    with pytest.raises(asyncio.CancelledError):
        await second
    (await third).leave()
    assert (lane.running, lane.waiting) == (0, 0)


async def test_leaving_twice_is_leaving_once():
    lane = Lane("m", queue=0, concurrency=2)
    one = await lane.enter(far())
    await lane.enter(far())
    one.leave()
    one.leave()
    assert lane.running == 1


async def test_more_concurrency_lets_the_waiting_in():
    lane = Lane("m", queue=5, concurrency=1)
    await lane.enter(far())
    waiting = [await enter_later(lane) for _ in range(3)]
    lane.concurrency = 4
    await asyncio.gather(*waiting)
    assert lane.running == 4


async def test_no_place_is_lost_in_a_thousand_random_comings_and_goings():
    lane = Lane("m", queue=20, concurrency=3)
    dice = random.Random(7)
    most = 0

    async def come():
        nonlocal most
        try:
            slot = await lane.enter(asyncio.get_running_loop().time() + dice.random() * 0.02)
        except (Busy, DeadlineExceeded):
            return
        try:
            most = max(most, lane.running)
            await asyncio.sleep(dice.random() * 0.005)
        finally:
            slot.leave()

    tasks = []
    for _ in range(1000):
        tasks.append(asyncio.create_task(come()))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.003)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 3
    assert (lane.running, lane.waiting) == (0, 0)


async def test_work_in_the_background_waits_for_a_lull_but_not_for_ever():
    lane = Lane("model", queue=8)
    await lane.lull(1e-9)  # free: at once
    slot = await lane.enter(asyncio.get_running_loop().time() + 60)
    quiet = asyncio.create_task(lane.lull(60))
    request = asyncio.create_task(lane.enter(asyncio.get_running_loop().time() + 60))
    while not lane.waiting:
        await asyncio.sleep(0)
    slot.leave()
    slot = await request
    assert not quiet.done(), "the request comes first, even if the background work waited longer"
    slot.leave()
    await quiet
    slot = await lane.enter(asyncio.get_running_loop().time() + 60)
    await lane.lull(0.01)  # its patience is over
    given_up = asyncio.create_task(lane.lull(60))
    await asyncio.sleep(0)
    given_up.cancel()
    slot.leave()
    await lane.lull(1e-9)
    assert not lane._background
