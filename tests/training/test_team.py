"""Several processes train as one does with the same global batch."""

import ast
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.distributed.run
from forked_processes import forked
from sensor_tables import Silent, run_config

from toolkit.errors import ConfigError
from toolkit.training import load_run, train
from toolkit.training.team import ALONE, Team, rank_from_environment

CLI = "from toolkit.cli.main import main; main()"
WEIGHTS = "weights.safetensors"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def in_processes(count, *arguments):
    """What `torchrun` sets for each process, without its supervisor."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CLI, *arguments],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    return [(*process.communicate(timeout=240), process.returncode) for process in started]


def configured(plant, folder, **training):
    """More than a hundred steps; 154 windows in batches of 16, so that the last batch is 10 and halves are equal."""
    config = run_config(plant, **{"max_epochs": 10, "min_epochs": 10, **training})
    path = folder / "config.toml"
    path.write_text(config.to_toml())
    return config, path


def difference(first, second):
    """The largest difference of a weight, relative to the largest weight of its tensor."""
    ours, theirs = (safetensors.torch.load_file(folder / WEIGHTS) for folder in (first, second))
    return max(float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours)


def test_two_processes_end_with_the_weights_of_one(plant, tmp_path):
    config, path = configured(plant, tmp_path)
    results = in_processes(2, "train", str(path), "--run", str(tmp_path / "two"))
    assert [status for *_, status in results] == [0, 0], results
    train(config, tmp_path / "one", Silent())
    assert difference(tmp_path / "two", tmp_path / "one") < 1e-5
    assert load_run(tmp_path / "two").report["epochs"] == 10
    (leader, _, _), (other, spoken, _) = results
    assert "this model" in leader
    assert other == spoken == ""


def test_a_team_goes_on_where_one_process_stopped(plant, tmp_path):
    class StoppedError(Exception):
        pass

    class Stopping(Silent):
        def on_epoch(self, record):
            if record.epoch == 7:
                raise StoppedError

    config, path = configured(plant, tmp_path)
    with pytest.raises(StoppedError):
        train(config, tmp_path / "two", Stopping())
    results = in_processes(2, "train", str(path), "--run", str(tmp_path / "two"), "--resume")
    assert [status for *_, status in results] == [0, 0], results
    assert "epoch   7/10" not in results[0][1]
    train(config, tmp_path / "one", Silent())
    assert difference(tmp_path / "two", tmp_path / "one") < 1e-5


def test_torchrun_takes_the_command_line_of_the_readme():
    """It would take `--run` for its own `--run-path`, but for the bare `--` before the program."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ torchrun (.*?)(?: +#.*)?$", readme, re.MULTILINE)
    parsed = torch.distributed.run.parse_args(shlex.split(line))
    assert (parsed.no_python, parsed.training_script) == (True, "lstm-edge")
    assert parsed.training_script_args == ["train", "lstm-edge.toml", "--run", "runs/two"]


def member(rank, folder):
    """One of two processes, in each of which every number is another."""
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    team = Team(rank, 2)
    agreed, mean = team.agree(10.5 + rank), team.mean(1.0 + rank)
    spread = [team.spread(content if rank == 0 else None) for content in (b"\0abc", None)]
    torch.manual_seed(rank)
    together = team.together(torch.nn.Linear(1, 1))
    together(torch.ones(1, 1) * rank).sum().backward()
    team.wait()
    gradient = float(together.module.weight.grad)
    (folder / str(rank)).write_text(repr((agreed, mean, spread, gradient)))
    torch.distributed.destroy_process_group()


def test_a_team_says_one_thing(tmp_path):
    """The leader's number and bytes, the mean of all numbers and of all gradients."""
    children = [forked(lambda rank=rank: member(rank, tmp_path)) for rank in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    for rank in range(2):
        told = ast.literal_eval((tmp_path / str(rank)).read_text())
        assert told == (10.5, 1.5, [b"\0abc", None], 0.5)


def test_who_is_alone_says_what_it_was_told():
    module = torch.nn.Linear(1, 1)
    assert (ALONE.agree(3.5), ALONE.mean(2.5), ALONE.spread(b"x"), ALONE.spread(None)) == (3.5, 2.5, b"x", None)
    assert ALONE.together(module) is module
    assert (ALONE.leads, Team(1, 2).leads) == (True, False)
    ALONE.wait()


@pytest.mark.parametrize(("told", "team"), [(("", ""), ALONE), (("0", "1"), ALONE), (("1", "2"), Team(1, 2))])
def test_who_this_process_is(monkeypatch, told, team):
    for name, text in zip(("RANK", "WORLD_SIZE"), told, strict=True):
        monkeypatch.setenv(name, text)
    assert rank_from_environment() == team


def test_shares_are_disjoint_and_weighted_by_their_size():
    batch = torch.arange(7)
    shares = [Team(rank, 3).share(batch) for rank in range(3)]
    assert sorted(torch.cat([share for share, _ in shares]).tolist()) == list(range(7))
    mean = sum(float(share.double().mean()) * weight for share, weight in shares) / 3
    assert mean == pytest.approx(float(batch.double().mean()))
    assert Team(2, 3).share(batch[:2])[1] == 0.0
    assert ALONE.share(batch)[1] == 1.0


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("x", "2"), ("0", ""), ("", "2"), ("-1", "2")])
def test_a_rank_that_is_none_is_refused(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ConfigError, match="RANK and WORLD_SIZE"):
        rank_from_environment()


def test_mixed_precision_without_a_gpu_is_refused(plant, tmp_path):
    with pytest.raises(ConfigError, match=r"training.precision; got mixed on the CPU"):
        train(run_config(plant, precision="mixed", device="cpu"), tmp_path / "run", Silent())
    assert os.listdir(tmp_path) == []


def test_a_gpu_that_is_not_there_is_refused(plant, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"training.device; got cuda; allowed: cpu"):
        train(run_config(plant, device="cuda"), tmp_path / "run", Silent())
    assert os.listdir(tmp_path) == []
