"""Many websockets that write, cancel and break off at random: every utterance ends once, and nothing is left."""

import asyncio
import json
import random
import socket
import struct

from websockets.asyncio.client import connect

from hub.settings import ModelSettings

MODELS = {
    "tone": ModelSettings(backend="tone", queue=500, options={"concurrency": 3}),
    "live": ModelSettings(backend="tone", queue=500, options={"concurrency": 3, "live_text": True}),
}
WORDS = ["Hello there. ", "How ", "are you? ", "Dr. ", "Smith said ", "3.14! ", "你好。", "well... ", "and so on, "]
CONTAINERS = ["pcm", "wav", "mp3", "opus"]


class Caller:
    """One websocket with a few utterances; breaks off in the middle if it is `abrupt`."""

    def __init__(self, dice):
        self.dice = dice
        self.ids = [f"utterance {number}" for number in range(dice.randint(1, 3))]
        self.abrupt = dice.random() < 0.3
        self.ended = []

    async def call(self, url):
        async with connect(url, close_timeout=1) as self.ws:
            reading = asyncio.create_task(self.read())
            await self.write()
            if self.abrupt:
                connection = self.ws.transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.ws.transport.abort()
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                return
            await self.send("close")
            async with asyncio.timeout(60):
                await reading
        assert self.ended == self.ids

    async def send(self, type, **fields):
        await self.ws.send(json.dumps({"type": type, **fields}))

    async def write(self):
        dice = self.dice
        await self.send(
            "configure",
            model=dice.choice(list(MODELS)),
            audio=dice.choice(["binary", "base64"]),
            format={"container": dice.choice(CONTAINERS)},
            options={"chunk_ms": dice.choice([40, 400]), "step_ms": dice.choice([0.0, 4.0])}
            | ({"fail_at": 3} if dice.random() < 0.1 else {}),
        )
        for id in self.ids:
            for _ in range(dice.randint(1, 8)):
                await self.send("text", text=dice.choice(WORDS), utterance=id)
                if dice.random() < 0.1:
                    await self.send("flush")
                if self.abrupt and dice.random() < 0.1:
                    return
            await self.send("done")
            if dice.random() < 0.4:
                await self.send("cancel", **({"utterance": dice.choice(self.ids)} if dice.random() < 0.5 else {}))

    async def read(self):
        while True:
            event = json.loads(await self.ws.recv())
            id = event.get("utterance")
            assert id not in self.ended, f"{event} after its end"
            if event["type"] == "audio" and "audio" not in event:
                assert len(await self.ws.recv()) == event["size"]
            elif event["type"] == "done" or (event["type"] == "fault" and id):
                self.ended.append(id)
            elif event["type"] == "closed":
                return


def test_each_utterance_ends_once_and_nothing_is_left(served):
    live = served(models=MODELS)
    live.wait_ready()
    url = live.url.replace("http", "ws") + "/v1/speech/live"
    dice = random.Random(7)

    async def all_at_once():
        await asyncio.gather(*(Caller(random.Random(dice.random())).call(url) for _ in range(40)))

    asyncio.run(all_at_once())
    while any(model["running"] or model["waiting"] for model in live.client.get("/v1/health").json()["models"]):
        pass  # pytest's timeout ends this
