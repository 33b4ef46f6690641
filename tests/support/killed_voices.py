"""Run by test_voice_library.py: creates, renames, changes and removes voices in child processes that it kills midway.

`points` kills at each event of the file system in turn, `times COUNT` at random moments. After every kill a fresh
library must hold only whole voices, and after its recovery nothing else may be left. Prints the number of kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from hub.audio.decode import Audio, to_wav_f32
from hub.contract import Reference
from hub.contract.errors import HubError
from hub.service.library.voice_folder import Facts
from hub.service.library.voices import VoiceLibrary
from hub.settings import Settings


def tone_wav(seconds):
    return to_wav_f32(Audio(np.sin(np.arange(int(seconds * 16_000)) / 5).astype(np.float32), 16_000))


EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "os.scandir", "os.listdir"}
RECORDINGS = {name: (tone_wav(0.05 + number / 50), tone_wav(0.3)) for number, name in enumerate(("a", "b", "c"))}


def library(folder):
    return VoiceLibrary.build(Settings(data=str(folder)))


def work(folder, name):
    """Create a voice, change it, rename it, and delete it."""
    voices = library(folder)
    facts = Facts(name=name, description=name * 1000)
    references = tuple(Reference(audio=audio, text=f"{name} {audio[100:110].hex()}") for audio in RECORDINGS[name])
    voices.create(name, facts, references)
    voices.update(name, description=f"{name} again", texts={"00.wav": f"{name} in other words"})
    voices.update(name, new_id=f"{name}-renamed")
    voices.delete(f"{name}-renamed")


def die_in_child(act):
    """Fork, and act in the child; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except HubError as error:
            print(error.message, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def died(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status != 0


def check(folder, name):
    """Check that all voices are whole and, after a recovery, that nothing else is left; then empty the library."""
    voices = library(folder)
    assert not voices.problems(), voices.problems()
    for voice in voices.list():
        assert voice.id in (name, f"{name}-renamed"), voice
        assert voice.name == name
        assert [round(one.seconds, 3) for one in voice.recordings] == [
            round((len(audio) - 58) / 4 / 16_000, 3) for audio in RECORDINGS[name]
        ], voice
        assert all(one.text and one.text.startswith(name) for one in voice.recordings), voice
    voices.recover()
    left = {path.name for path in Path(folder).glob("voices/*")} - {voice.id for voice in voices.list()}
    assert left <= {".lock"}, left
    for voice in voices.list():
        voices.delete(voice.id)


def at_each_point(folder, name="a"):
    """Kill at the first event, then at the second, and so on, until the work ends before the kill."""
    point = 0
    while True:

        def act(point=point):
            left = point

            def hook(event, arguments):
                nonlocal left
                if event in EVENTS and str(folder) in str(arguments[0] if arguments else ""):
                    if left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left -= 1

            sys.addaudithook(hook)
            work(folder, name)

        killed = died(die_in_child(act))
        check(folder, name)
        if not killed:
            return point
        point += 1


def at_random_times(folder, count):
    deaths = 0
    chance = random.Random(7)
    while deaths < count:
        name = chance.choice("abc")
        child = die_in_child(lambda name=name: work(folder, name))
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        deaths += died(child)
        check(folder, name)
    return deaths


if __name__ == "__main__":
    where, mode = Path(sys.argv[1]), sys.argv[2]
    print(at_each_point(where) if mode == "points" else at_random_times(where, int(sys.argv[3])))
