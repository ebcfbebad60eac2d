"""The memory that a process may take: a container's or a queue's, where it is less."""

import torch

from orchid_genomics.model.device import memory_limits, memory_of


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_control_groups_limit_memory_each_inside_the_next(tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    write(own, "0::/job/step\n")
    write(groups / "job" / "memory.max", "16000000000\n")
    write(groups / "job" / "step" / "memory.max", "max\n")
    assert list(memory_limits(groups, own)) == [16_000_000_000]
    write(own, "9:cpu:/job\n4:memory:/unseen\n")
    write(groups / "memory" / "memory.limit_in_bytes", "8000000000\n")
    assert list(memory_limits(groups, own)) == [8_000_000_000]


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert list(memory_limits(tmp_path, tmp_path / "none")) == []


def test_a_cpu_has_some_memory_and_no_more_than_its_limits():
    present = memory_of(torch.device("cpu"))
    assert present > 0
    assert all(present <= limit for limit in memory_limits())
