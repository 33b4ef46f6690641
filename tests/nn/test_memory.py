"""What a worker says of its device's memory, with an NVML and a CUDA that are not there."""

import ctypes
import os
import threading
from types import SimpleNamespace

import pytest
import torch

from hub.contract.backend import Memory
from hub.nn import nvml
from hub.nn.graphs import CAPTURE_LOCK
from hub.nn.memory import CONTEXT, DeviceMemory

GIB = 1024**3
CARD = "6f8ba80b-0cb0-4a9c-8b3c-0a1b2c3d4e5f"


class Nvml:
    """NVML with one GPU: its functions write through pointers, as the library's do."""

    def __init__(self, uuid, processes):
        self.uuid, self.processes = uuid, processes

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):  # noqa: N802
        handle._obj.value = 77
        return 0 if uuid.decode() == self.uuid else 6

    def nvmlDeviceGetComputeRunningProcesses_v3(self, device, count, found):  # noqa: N802
        assert device.value == 77
        for slot, (pid, used) in zip(found, self.processes, strict=False):
            slot.pid, slot.used = pid, used
        ctypes.memmove(count, ctypes.byref(ctypes.c_uint(len(self.processes))), 4)
        return 0


@pytest.fixture
def card(monkeypatch):
    """Put a card into this machine: `card(processes, reserved=..., free=...)`."""

    def put(*processes, prefix="GPU-", reserved=3 * GIB, free=60 * GIB):
        library = Nvml(prefix + CARD, processes) if prefix else None
        monkeypatch.setattr(nvml, "_library", lambda: library)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=CARD))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * GIB))
        return DeviceMemory(torch.device("cuda", 1))

    return put


def test_it_is_a_memory_of_the_contract():
    assert isinstance(DeviceMemory(torch.device("cpu")), Memory)


@pytest.mark.parametrize("prefix", ["GPU-", "MIG-"])
def test_nvml_says_what_this_process_holds_of_the_card_or_of_the_part_with_that_uuid(card, prefix):
    memory = card((os.getpid(), 4 * GIB), (1, 70 * GIB), prefix=prefix)
    assert memory.held() == 4 * GIB


def test_in_a_container_the_only_process_there_is_is_this_one(card):
    assert card((999_999, 4 * GIB)).held() == 4 * GIB


def test_several_processes_of_which_none_is_known_leave_what_torch_reserved_and_cuda_takes(card):
    assert card((999_998, 4 * GIB), (999_999, 30 * GIB), free=46 * GIB).held() == 3 * GIB + CONTEXT


def test_another_process_with_our_id_is_not_believed(card):
    assert card((os.getpid(), 1 * GIB), (999_999, 30 * GIB)).held() == 3 * GIB + CONTEXT


def test_a_driver_that_says_no_sizes(card):
    assert card((os.getpid(), nvml.UNKNOWN)).held() == 3 * GIB + CONTEXT


def test_without_nvml_no_more_than_is_taken_of_the_device(card):
    assert card(prefix="").held() == 3 * GIB + CONTEXT
    assert card(prefix="", free=80 * GIB - 3 * GIB - 5).held() == 3 * GIB + 5


def test_a_machine_without_nvml_is_no_error():
    nvml._library.cache_clear()
    assert nvml.processes(CARD) is None


def test_a_cpu_leaves_the_measuring_to_the_hub():
    memory = DeviceMemory(torch.device("cpu"))
    memory.free()
    assert memory.held() is None


def test_caches_are_freed_when_no_graph_is_being_captured(card, monkeypatch):
    freed = threading.Event()
    monkeypatch.setattr(torch.cuda, "empty_cache", freed.set)
    memory = card()
    with CAPTURE_LOCK:
        thread = threading.Thread(target=memory.free)
        thread.start()
        assert not freed.wait(0.2)
    thread.join(20)
    assert freed.is_set()
