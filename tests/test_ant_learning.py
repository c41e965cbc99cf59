"""The two ant problems: changing friction, resets of networks, measures, and animations.

Dohare et al., Nature 632 (2024), "Stationary and slippery Ant", and the published code.
"""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from test_ant_mujoco import needs_mujoco

import run_all
from minilop.backend import xp
from minilop.experiment.figures import new_figure
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import Adam
from minilop.plasticity import ContinualBackprop, ReDo
from problems import slippery_ant, stationary_ant
from problems.ant import Step, learning, physics
from problems.ant.body import leg_vectors
from problems.ant.drawing import draw_walk, follow_walk, skeleton
from problems.ant.learners import PUBLISHED_LEARNERS
from problems.ant.learning import frictions
from problems.ant.measures import diagnose, weight_change
from problems.ant.settings import Settings

# Updates after 32, 64, ... 192 steps of a run, so no run learns from the last eight; friction changes after 72 and 144,
# within a rollout; bins end after 40, 80, ... 200.
TINY = Settings(
    num_environments=4,
    num_steps=8,
    num_epochs=2,
    mini_batch_size=16,
    hidden_units=(8, 6),
    substeps=2,
    substep_seconds=0.025,
    time_limit=7,
    steps_in_all=200,
    change_period=72,
    bin_size=40,
    num_diagnostic_observations=20,
    num_pose_steps=5,
)
LEARNERS = {name: learner.change(step_size=0.003) for name, learner in PUBLISHED_LEARNERS.items()}
LEARNERS["ppo_continual_backprop"] = LEARNERS["ppo_continual_backprop"].change(
    replacement_rate=0.05, maturity_threshold=3
)
LEARNERS["ppo_redo"] = LEARNERS["ppo_redo"].change(redo_period=3, redo_threshold=0.5)
PPO = LEARNERS["ppo"]


@pytest.fixture(autouse=True)
def one_step_at_a_time(monkeypatch):
    """Let `advance` take one step at a time, so that a run can be stopped anywhere."""
    monkeypatch.setattr(learning, "STEPS_AT_A_TIME", {"numpy": 1})


def start(settings=TINY, learner=PPO, seeds=(3, 8)):
    return learning.start(settings, learner, list(seeds), None)


def advance_to(runs, steps):
    """Advance until this many steps have been taken and learned from."""
    while runs.steps < steps or runs.ppo.is_full or runs.ppo.epochs_left:
        runs.advance()
    return runs


def finish(runs):
    while runs.progress < 1.0:
        runs.advance()
    assert runs.progress == 1.0
    return runs.results()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


def weights_of(runs):
    return [host(layer.weight).copy() for layer in runs.ppo.policy.network.dense_layers]


# --- friction ---------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_friction_is_log_uniform():
    """On [0.02, 2] log10 has the mean -0.699 and the standard deviation 2 / sqrt(12) = 0.577."""
    drawn = np.log10(frictions(Settings(), np.arange(300)))
    assert drawn.shape == (300, 10)  # 20 million steps, 2 million each
    assert drawn.min() >= np.log10(0.02) and drawn.max() <= np.log10(2)
    assert abs(drawn.mean() - (np.log10(0.02) + np.log10(2)) / 2) < 5 * 0.577 / np.sqrt(3000)
    assert_allclose(drawn.std(), 2 / np.sqrt(12), rtol=0.05)
    assert (drawn < np.log10(0.02) + 0.02).any() and (drawn > np.log10(2) - 0.02).any()


@pytest.mark.quick
def test_all_learners_of_a_seed_have_the_same_floors_alone_or_in_a_block(array_module):
    expected = start(seeds=(3, 5, 8)).frictions
    assert expected.shape == (3, 3) and len(np.unique(expected)) == 9
    for learner in LEARNERS.values():
        assert_array_equal(start(learner=learner, seeds=[8]).frictions, expected[2:])


@pytest.mark.quick
def test_a_longer_experiment_begins_with_the_same_floors():
    longer = frictions(replace(TINY, steps_in_all=400), np.array([3, 8]))
    assert_array_equal(longer[:, :3], frictions(TINY, np.array([3, 8])))


@pytest.mark.quick
def test_without_changes_the_floor_is_what_the_settings_say(array_module):
    runs = start(replace(TINY, change_period=0, friction=0.3, steps_in_all=40))
    assert finish(runs)["friction"].tolist() == [[0.3], [0.3]]
    assert (host(runs.ants.friction) == np.float32(0.3)).all()


@pytest.mark.parametrize("change_at", ["reset", "at_once"])
def test_an_environment_keeps_its_friction_until_its_episode_ends_or_not(change_at, array_module):
    runs = start(replace(TINY, change_at=change_at))
    in_force, ended = [], []
    take_step = runs.ants.step

    def watched(actions):
        in_force.append(host(runs.ants.friction).copy())
        step = take_step(actions)
        ended.append(host(step.terminated | step.timed_out))
        return step

    runs.ants.step = watched
    while runs.progress < 1:
        runs.advance()
    assert len(in_force) == 200 / 4
    floors = runs.frictions.astype("float32")[..., None] * np.ones(4, "float32")  # (R, segments, N)
    expected = floors[:, 0]
    for time in range(50):
        segment = 4 * time // 72
        if change_at == "at_once":
            expected = floors[:, segment]
        assert_array_equal(in_force[time], expected)
        expected = np.where(ended[time], floors[:, segment], expected)
    late = in_force[18] != floors[:, 1]
    assert late.all() if change_at == "reset" else not late.any()


# --- the learner that is reset ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change_period", "steps"),
    [(72, [96, 160]), (64, [64, 128, 192])],  # a rollout under way is learned from first
)
def test_networks_are_reset_at_the_first_rollout_on_a_new_floor(change_period, steps, array_module):
    settings = replace(TINY, change_period=change_period)
    runs = start(settings, LEARNERS["ppo_fresh"])
    reset, found = runs.ppo.reset, []

    def watched(draw):
        before = host(runs.ppo.policy.network.parameters).copy()
        reset(draw)
        found.append((draw, runs.steps, host(runs.ppo.policy.network.parameters).copy()))
        assert (found[-1][-1] != before).any(axis=-1).all()

    runs.ppo.reset = watched
    finish(runs)
    assert [place[:2] for place in found] == list(enumerate(steps, start=1))
    for draw, _, parameters in found:
        network = start(settings).ppo.policy.network
        network.initialize(draw)
        assert_array_equal(parameters, host(network.parameters))


def test_only_that_learner_is_reset():
    """Until then all learners are equal. Step 96 is in the third bin."""
    fresh, tuned = (finish(start(learner=LEARNERS[name])) for name in ("ppo_fresh", "ppo_tuned_adam"))
    assert_array_equal(fresh["reward"][:, :2], tuned["reward"][:, :2])
    assert (fresh["reward"][:, 2:] != tuned["reward"][:, 2:]).all()
    runs = start()
    runs.ppo.reset = None  # would fail if it were called
    finish(runs)
    with pytest.raises(ValueError, match="reset=network is for floors that change"):
        start(replace(TINY, change_period=0), LEARNERS["ppo_fresh"])


# --- what is counted --------------------------------------------------------------------------------------------------


class ScriptedAnts:
    """Environments with given rewards (T, R, N), whose episodes continue, fall or time out as given: "-", "f", "t"."""

    num_observations, num_actions = 3, 2

    def __init__(self, rewards, endings):
        self.rewards, self.endings = np.array(rewards, "float32"), np.array(endings)
        self.time = 0
        self.returns, self.lengths = (np.zeros(self.rewards.shape[1:], kind) for kind in ("float32", int))
        self.num_broken = xp.zeros(self.rewards.shape[1], int)

    def set_friction(self, values, at_once=False):
        pass

    def reset(self):
        runs, number = self.returns.shape
        return xp.zeros((runs, 3, number), "float32")

    def step(self, actions):
        rewards, endings = self.rewards[self.time % len(self.rewards)], self.endings[self.time % len(self.rewards)]
        self.time += 1
        self.returns, self.lengths = self.returns + rewards, self.lengths + 1
        step = Step(
            self.reset(),
            device(rewards),
            device(endings == "f"),
            device(endings == "t"),
            self.reset(),
            device(self.returns.copy()),
            device(self.lengths.copy()),
            device(2 * rewards),
        )
        for array in (self.returns, self.lengths):
            array[endings != "-"] = 0
        return step

    def poses(self):
        return xp.zeros((len(self.returns), 15, self.returns.shape[1]))

    def state(self):
        return {"time": np.array(self.time)}

    def restore(self, state):
        self.time = int(state["time"])


def test_rewards_and_episodes_land_in_the_bin_of_their_steps(monkeypatch, array_module):
    """Two environments, bins of four steps: two of each. Only the first environment ever falls.

    episodes   first environment: 1 + 2 (bin 0), then 4 + 8 + 16 (bin 2)
               second environment: -1 - 1 (bin 0), then nothing ends
    """
    rewards = [[[1, -1]], [[2, -1]], [[4, -1]], [[8, -1]], [[16, -1]], [[32, -1]]]
    endings = [[["-", "-"]], [["f", "t"]], [["-", "-"]], [["-", "-"]], [["f", "-"]], [["-", "-"]]]
    monkeypatch.setattr(learning, "make_ants", lambda *_: ScriptedAnts(rewards, endings))
    settings = replace(
        TINY, num_environments=2, num_steps=4, mini_batch_size=4, steps_in_all=12, bin_size=4, change_period=0
    )
    found = finish(start(settings, seeds=[3]))
    assert found["reward"].tolist() == [[(1 + 2 - 1 - 1) / 4, (4 + 8 - 1 - 1) / 4, (16 + 32 - 1 - 1) / 4]]
    assert_array_equal(found["forward_speed"], 2 * found["reward"])
    assert_array_equal(found["episode_return"], [[(1 + 2 - 1 - 1) / 2, np.nan, 4 + 8 + 16]])
    assert_array_equal(found["episode_length"], [[(2 + 2) / 2, np.nan, 3]])
    assert_array_equal(found["falls"], [[1 / 2, np.nan, 1 / 1]])
    assert found["diverged_at"].tolist() == [-1] and found["num_broken"].tolist() == [0]


def test_results_have_a_row_for_every_run_and_a_column_for_every_bin(array_module):
    of_steps = {"reward", "forward_speed", "episode_return", "episode_length", "falls", "weight_change"}
    of_looks = {"dormant_units", "stable_rank", "weight_magnitude", "saturated_actions", "standard_deviation"}
    for seeds in ([3], [3, 8, 5]):
        found = finish(start(seeds=seeds))
        assert set(found) == of_steps | of_looks | {"num_broken", "friction", "poses", "diverged_at"}
        for name in of_steps:
            assert found[name].shape == (len(seeds), 5) and np.isfinite(found[name]).all(), name
        for name in of_looks:  # finally from the incomplete rollout
            assert found[name].shape == (len(seeds), 5) and np.isfinite(found[name]).all(), name
        assert found["poses"].shape == (len(seeds), 5, 15) and found["friction"].shape == (len(seeds), 3)
        assert ((found["episode_length"] > 0) & (found["episode_length"] <= 7)).all()


@pytest.mark.parametrize(
    ("steps_in_all", "num_epochs"),
    [(200, 3), (200, 10), (192, 7), (40, 3), (24, 3)],  # 192 is six updates, 24 is none
)
def test_progress_is_1_when_all_is_done_and_never_before(steps_in_all, num_epochs):
    """An epoch counts as its part of the 32 steps of an update, which no float represents if there are three."""
    runs = start(replace(TINY, steps_in_all=steps_in_all, bin_size=8, num_epochs=num_epochs))
    seen = [runs.progress]
    while runs.progress < 1:
        assert runs.steps < steps_in_all or runs.ppo.is_full or runs.ppo.epochs_left
        runs.advance()
        seen.append(runs.progress)
    assert seen[0] == 0 and seen[-1] == 1 and seen == sorted(seen)
    assert (runs.steps, runs.ppo.epochs_done) == (steps_in_all, steps_in_all // 32 * num_epochs)
    assert not runs.ppo.epochs_left and not runs.ppo.is_full


# --- diagnostics ------------------------------------------------------------------------------------------------------


def test_diagnostics_are_those_of_the_policy_on_the_last_observations(array_module):
    """20 observations of 4 environments are five steps. In the second run, one of 8 units and two of 6 never fire."""
    runs = start()
    while not (runs.steps == 64 and runs.ppo.is_full):
        runs.advance()
    network = runs.ppo.policy.network
    first, second, _ = network.dense_layers
    first.bias[1, :1], second.bias[1, :2] = -1000, -1000
    found = {name: host(array) for name, array in diagnose(runs.ppo, runs.settings.num_diagnostic_observations).items()}
    observations = host(runs.ppo.rollout["observations"])[3:]  # (5, R, I, N)
    for run in range(2):
        inputs = np.concatenate(list(observations[:, run]), axis=-1)  # (I, 20)
        hidden = np.maximum(host(first.weight)[run] @ inputs + host(first.bias)[run], 0)
        top = np.maximum(host(second.weight)[run] @ hidden + host(second.bias)[run], 0)
        dormant = sum(int(((h > 0).mean(axis=-1) < 0.01).sum()) for h in (hidden, top))
        assert_allclose(found["dormant_units"][run], 100 * dormant / 14)
        assert run == 0 or dormant >= 3
        values = np.linalg.svd(top, compute_uv=False)
        rank = 1 + int((np.cumsum(values) / values.sum() <= 0.99).sum())
        assert_allclose(found["stable_rank"][run], 100 * rank / 6)
        assert_allclose(found["weight_magnitude"][run], abs(host(second.weight)[run]).mean(), rtol=1e-5)
        assert_allclose(found["standard_deviation"][run], np.exp(host(runs.ppo.log_std)[run]).mean(), rtol=1e-5)
    runs.begin_update()
    for name, values in found.items():
        assert_array_equal(host(runs.measures.snapshots[name])[0], values, name)  # of the bin that ended after 40 steps
        assert np.isnan(host(runs.measures.snapshots[name])[1:]).all()


def test_the_weight_change_of_a_bin_is_that_of_its_largest_update(array_module):
    """Sum over the three weight matrices of |after - before|; updates after 128 and 160 steps share the fourth bin."""
    runs, changes = start(), {}
    while runs.progress < 1:
        before = weights_of(runs)
        while runs.progress < 1 and not runs.ppo.is_full:
            runs.advance()
        if not runs.ppo.is_full:
            break
        advance_to(runs, runs.steps)
        total = sum(abs(a - b).sum(axis=(-1, -2)) for a, b in zip(weights_of(runs), before))
        changes.setdefault((runs.steps - 1) // 40, []).append(total)
    assert [len(changes[place]) for place in range(5)] == [1, 1, 1, 2, 1]
    expected = np.array([np.max(changes[place], axis=0) for place in range(5)]).T  # (R, num_bins)
    assert_allclose(runs.results()["weight_change"], expected, rtol=1e-5)
    assert (expected > 0).all()


def test_the_weight_change_counts_the_policys_weights_and_not_its_biases(array_module):
    """First run: two weights change, by 0.5 and -0.25. Second run: every weight of the last layer changes by 1."""
    runs = advance_to(start(), 32)
    network = runs.ppo.policy.network
    runs.parameters_before[...] = network.parameters
    first, _, last = network.dense_layers
    first.weight[0, 0, 0] += 0.5
    last.weight[0, 0, 0] -= 0.25
    last.weight[1] += 1
    for layer in network.dense_layers:
        layer.bias += 100
    runs.ppo.value.network.parameters += 100
    expected = [0.5 + 0.25, 1.0 * last.weight[1].size]
    assert_allclose(host(weight_change(network, runs.parameters_before)), expected, rtol=1e-5)


def test_a_policy_without_hidden_units_is_looked_at_as_far_as_it_goes():
    found = finish(start(replace(TINY, hidden_units=())))
    assert np.isnan(found["dormant_units"]).all() and np.isfinite(found["weight_magnitude"][:, :4]).all()


# --- the walk in the end ----------------------------------------------------------------------------------------------


def test_a_walk_begins_with_a_reset_and_is_nan_from_a_fall_on(monkeypatch, array_module):
    """The walk of the first environment, regardless of the others. The second run falls in its third step."""
    runs = advance_to(start(), 64)
    take_step, count = runs.ants.step, []

    def scripted(actions):
        step = take_step(actions)
        count.append(None)
        falls = np.zeros((2, 4), bool)
        falls[1, 0], falls[0, 1:] = len(count) == 3, True
        return step._replace(terminated=device(falls), timed_out=device(np.zeros((2, 4), bool)))

    monkeypatch.setattr(runs.ants, "step", scripted)
    poses = runs.walk()
    assert poses.shape == (2, 5, 15)
    assert abs(poses[:, 0, :2]).max() <= 0.1 and abs(poses[:, 0, 2] - 0.55).max() <= 0.031
    assert np.isfinite(poses[0]).all() and np.isfinite(poses[1, :3]).all()
    assert np.isnan(poses[1, 3:]).all()


def test_a_walk_ends_with_the_time_limit(array_module):
    poses = start(replace(TINY, time_limit=2)).walk()
    assert np.isfinite(poses[:, :2]).all() and np.isnan(poses[:, 2:]).all()


def test_looking_at_the_results_changes_nothing(array_module):
    runs = advance_to(start(), 72)
    before = runs.state()
    first = runs.results()
    assert_same(runs.results(), first)
    assert_same(runs.state(), before)
    assert_same(finish(runs), finish(start()))


def test_a_walk_of_a_policy_that_is_not_finite_is_not_counted_among_what_broke():
    runs = advance_to(start(), 64)
    runs.ppo.policy.network.parameters[...] = np.nan
    with np.errstate(all="ignore"):
        runs.act()
        found = runs.results()
    assert found["num_broken"].tolist() == [4, 4]
    assert np.isfinite(found["poses"][:, 0]).all() and np.isnan(found["poses"][:, 1:]).all()


# --- runs side by side, and resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_alone_is_itself_among_others_to_the_bit(learner):
    alone = finish(start(learner=LEARNERS[learner], seeds=[8]))
    among = finish(start(learner=LEARNERS[learner], seeds=[3, 5, 8]))
    assert_same(alone, {name: array[2:] for name, array in among.items()})


@pytest.mark.parametrize("change_at", ["reset", "at_once"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_resumed_at_any_moment_ends_bit_for_bit_the_same(learner, change_at):
    """Within an episode and a rollout, between two epochs, and just before friction changes."""
    settings = replace(TINY, change_at=change_at)
    expected = start(settings, LEARNERS[learner])
    finish(expected)
    runs, moments = start(settings, LEARNERS[learner]), set()
    while runs.progress < 1:
        runs.advance()
        kept = runs.state()
        copy = {name: array.copy() for name, array in kept.items()}
        if runs.progress < 1:
            runs.advance()
        assert_same(kept, copy)  # a state is a copy: continuing does not change it
        runs = start(settings, LEARNERS[learner])
        runs.restore(copy)
        moments.add((runs.steps, runs.ppo.epochs_left))
    assert {(36, 0), (64, 0), (64, 2), (64, 1), (72, 0), (76, 0), (144, 0), (200, 0)} <= moments
    assert_same(runs.results(), expected.results())
    assert_same(runs.state(), expected.state())


@pytest.mark.parametrize("learner", ["ppo_continual_backprop", "ppo_fresh"])
def test_runs_resume_on_the_device_as_well(learner, array_module):
    runs = advance_to(start(learner=LEARNERS[learner]), 104)
    restored = start(learner=LEARNERS[learner])
    restored.restore(runs.state())
    assert_same(finish(restored), finish(runs))


def test_a_state_of_other_networks_is_refused():
    with pytest.raises(ValueError):
        start().restore(start(replace(TINY, hidden_units=(8, 7))).state())
    with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
        start().restore({**start().state(), "surplus": np.zeros(2)})


@pytest.mark.parametrize(
    ("learner", "part"),
    [*((name, "policy") for name in LEARNERS), ("ppo", "value"), ("ppo", "log_std")],
)
def test_a_run_that_diverges_is_nan_from_there_on_and_nobody_else_is(learner, part):
    """In an epoch after step 96, which is in the third bin. A later reset of the networks does not clear the NaN."""
    expected = finish(start(learner=LEARNERS[learner], seeds=[3, 8, 5]))
    runs = start(learner=LEARNERS[learner], seeds=[3, 8, 5])
    while not (runs.steps == 96 and runs.ppo.epochs_left == 1):
        runs.advance()
    ppo = runs.ppo
    {"policy": ppo.policy.network.parameters, "value": ppo.value.network.parameters, "log_std": ppo.log_std}[part][
        1, 0
    ] = np.nan
    with np.errstate(all="ignore"):
        found = finish(runs)
    assert found["diverged_at"].tolist() == [-1, 2, -1]
    of_whole_run = {"num_broken", "friction", "poses", "diverged_at"}
    for name, array in expected.items():
        if name != "diverged_at":
            assert_array_equal(found[name][[0, 2]], array[[0, 2]], name)
        if name not in of_whole_run:
            assert_array_equal(found[name][1, :2], array[1, :2], name)
            assert np.isnan(found[name][1, 2:]).all(), name
    assert (found["num_broken"][1] > 0) == (learner != "ppo_fresh")  # which acts by a new network from this step on


def test_a_block_that_diverges_altogether_still_gives_results():
    with np.errstate(all="ignore"):
        found = finish(start(learner=PPO.change(step_size=1e30)))
    assert (found["diverged_at"] >= 0).all()
    assert np.isnan(found["reward"][:, 1:]).all() and np.isfinite(found["friction"]).all()


# --- learning ---------------------------------------------------------------------------------------------------------


def test_ants_learn_to_run_forward(monkeypatch):
    """Two runs of 100,000 steps with friction 1, in four seconds. Standing still would earn 0.2."""
    monkeypatch.undo()  # many steps at a time
    settings = Settings(
        num_environments=64,
        num_steps=32,
        num_epochs=5,
        mini_batch_size=512,
        hidden_units=(32, 32),
        discount=0.97,
        lambda_=0.9,
        initial_log_std=-0.7,
        time_outs="bootstrapped",
        substeps=2,
        substep_seconds=0.025,
        control_cost=0.1,
        control_cost_of="clipped_action",
        healthy_reward=0.2,
        time_limit=200,
        steps_in_all=102_400,
        change_period=0,
        bin_size=20_480,
    )
    found = finish(start(settings, PPO.change(step_size=3e-3), seeds=(0, 1)))
    for name in ("reward", "forward_speed"):
        first, last = found[name].mean(axis=0)[[0, -1]]
        assert last - first > 0.2, name


# --- settings, learners -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps_in_all": 210}, "steps_in_all, 210, must be a multiple of bin_size, 40"),
        ({"bin_size": 50}, "bin_size, 50, must be a multiple of num_environments, 4"),
        ({"friction": 0.5}, "friction=0.5 is for a floor that stays; set change_period=0 too"),
        ({"num_processes": 2}, "contact_forces and num_processes are for simulator=mujoco"),
        ({"change_period": 30}, "change_period, 30, must be a multiple of num_environments, 4"),
        ({"lowest_friction": 0.0}, "lowest_friction, 0.0, must be above 0 and at most highest_friction, 2.0"),
        ({"lowest_friction": 0.5, "highest_friction": 0.4}, "lowest_friction, 0.5, must be above 0 and at most"),
        ({"highest_friction": float("inf")}, "highest_friction must be a finite number, at least 0"),
        ({"friction": -1.0}, "friction must be a finite number, at least 0"),
        ({"mini_batch_size": 12}, r"mini_batch_size must be a divisor of num_environments \* num_steps = 32, not 12"),
        ({"time_limit": 0}, "time_limit must be a finite number, at least 1"),
        ({"substeps": 0}, "substeps must be a finite number, at least 1"),
        ({"num_processes": -1}, "num_processes must be a finite number, at least 0"),
        ({"num_pose_steps": 0}, "num_pose_steps must be a finite number, at least 1"),
        ({"simulator": "bullet"}, "simulator must be minilop or mujoco, not bullet"),
        ({"change_at": "once"}, "change_at must be reset or at_once, not once"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as refused:
        replace(TINY, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("reset", ["head", "parameters"])
def test_what_cannot_be_reset_is_refused(reset):
    with pytest.raises(ValueError, match=rf"reset={reset} is not for PPO.*; choose network"):
        start(learner=PPO.change(reset=reset))


def test_the_paper_scale_is_the_published_protocol():
    for module, length, period, bin_size in (
        (slippery_ant, 20_000_000, 2_000_000, 100_000),
        (stationary_ant, 50_000_000, 0, 250_000),
    ):
        values, scale = module.SCALES["paper"].settings, module.SCALES["paper"]
        assert (values.steps_in_all, values.change_period, values.bin_size) == (length, period, bin_size)
        assert (values.friction, values.lowest_friction, values.highest_friction) == (1, 0.02, 2)
        assert (values.num_environments, values.num_steps, values.num_epochs, values.mini_batch_size) == (
            1,
            2048,
            10,
            128,
        )
        assert (values.discount, values.lambda_, values.clip, values.value_weight) == (0.99, 0.95, 0.2, 1)
        assert (values.hidden_units, values.initial_log_std, values.time_outs) == ((256, 256), 0, "terminal")
        assert (values.control_cost, values.control_cost_of, values.healthy_reward) == (0.5, "action", 1)
        assert (values.time_limit, values.change_at, values.num_diagnostic_observations) == (1000, "reset", 1000)
        assert_allclose(values.step_seconds, 0.05)
        tuned = LearnerSettings(Adam(step_size=1e-4, beta_1=0.99, beta_2=0.99), network=NetworkSettings("deep", "relu"))
        rule = ContinualBackprop(
            replacement_rate=1e-4,
            maturity_threshold=10_000,
            decay_rate=0.99,
            utility="contribution",
            rounding="chance",
            rate_counts="eligible",
            when="after_update",
            reset_optimizer_state=False,
        )
        redo = ReDo(redo_period=100, redo_threshold=0.1, reset_optimizer_state=False)
        expected = {
            "ppo": tuned.change(beta_1=0.9, beta_2=0.999),
            "ppo_tuned_adam": tuned,
            "ppo_l2": tuned.change(weight_decay=1e-3),
            "ppo_continual_backprop": tuned.change(weight_decay=1e-4).with_rules(rule),
            "ppo_redo": tuned.change(weight_decay=1e-4).with_rules(redo),
            "ppo_fresh": tuned.change(reset="network"),
        }
        if module is stationary_ant:
            del expected["ppo_fresh"]
        assert scale.learners == expected


def test_on_a_floor_that_stays_nobody_is_reset():
    for name, scale in stationary_ant.SCALES.items():
        assert "ppo_fresh" not in scale.learners and scale.settings.change_period == 0
        assert set(scale.default_learners) <= set(slippery_ant.SCALES[name].default_learners)


# --- MuJoCo -----------------------------------------------------------------------------------------------------------

MUJOCO = replace(
    TINY,
    simulator="mujoco",
    num_environments=2,
    num_steps=4,
    mini_batch_size=4,
    time_limit=3,
    steps_in_all=48,
    bin_size=16,
    change_period=20,
)


@needs_mujoco
@pytest.mark.parametrize("change_at", ["reset", "at_once"])
def test_mujocos_ants_learn_on_changing_floors_and_resume_to_the_bit(change_at):
    settings = replace(MUJOCO, change_at=change_at)
    learner = LEARNERS["ppo_continual_backprop"]
    expected = finish(start(settings, learner))
    assert np.isfinite(expected["reward"]).all() and expected["diverged_at"].tolist() == [-1, -1]
    for stop in (12, 20, 32):  # within a rollout, just before friction changes, between two rollouts
        runs = advance_to(start(settings, learner), stop)
        restored = start(settings, learner)
        restored.restore(runs.state())
        assert_same(finish(restored), expected)
    models = [each.model for each in restored.ants.groups[0].environments]
    found = np.array([model.geom_friction[0, 0] for model in models]).reshape(2, 2)
    assert_array_equal(found, host(restored.ants.friction))
    assert_allclose(found, restored.frictions[:, 2:].repeat(2, axis=1), rtol=1e-6)
    assert_same(restored.results(), expected)  # and once more
    alone = finish(start(settings, learner, seeds=[8]))
    assert_same(alone, {name: array[1:] for name, array in expected.items()})


@needs_mujoco
def test_steps_of_mujoco_are_its_own():
    assert replace(MUJOCO, substeps=1).step_seconds == 0.05
    assert "MuJoCo" in learning.data_source(MUJOCO, None) and "MuJoCo" not in learning.data_source(TINY, None)


def test_without_mujoco_one_sentence_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"python -m pip install -e \"\.\[mujoco\]\""):
        start(MUJOCO)


def run_smoke(tmp_path, *arguments, problem="slippery_ant", learners=("ppo",)):
    """The command at smoke scale, with one run of fewer steps; its exit status and what it prints."""
    settings = {"steps_in_all": 256, "change_period": 128, "bin_size": 64, "num_pose_steps": 8}
    if problem == "stationary_ant":
        del settings["change_period"]
    chosen = [text for name, value in settings.items() for text in ("--set", f"{problem}.{name}={value}")]
    named = [text for learner in learners for text in ("--learner", learner)]
    folders = ["--out", str(tmp_path / "results"), "--figures", str(tmp_path / "figures")]
    command = ["--scale", "smoke", "--problem", problem, "--runs", "1", *named, *chosen, *folders, *arguments]
    done = CliRunner().invoke(run_all.main, command, obj=run_all.PROBLEMS)
    return done.exit_code, done.output


@needs_mujoco
def test_mujocos_processes_are_for_an_engine_that_has_none_itself(tmp_path):
    """A worker must not start processes. The message comes before anything is computed."""
    wanted = ["--set", "slippery_ant.simulator=mujoco", "--set", "slippery_ant.num_processes=2"]
    status, output = run_smoke(tmp_path, *wanted, "--engine", "process:1")
    assert status == 1 and "Traceback" not in output and "tried again" not in output
    assert "slippery_ant: num_processes=2 needs --engine serial, since a worker" in output
    status, output = run_smoke(tmp_path, *wanted, "--engine", "serial")
    assert status == 0, output
    assert len(list((tmp_path / "results").glob("slippery_ant-ppo-s0-*.npz"))) == 1


# --- drawing ----------------------------------------------------------------------------------------------------------


def made_up_pose():
    """Rotated by a quaternion of length 1, every joint at a different angle."""
    quaternion = np.array([0.8, 0.2, -0.4, 0.4])
    return np.concatenate([[2.0, -1.0, 0.6], quaternion, np.linspace(-0.5, 1.2, 8)])


def test_a_skeleton_has_its_feet_where_the_physics_has_them():
    pose = made_up_pose()
    joints = pose[7:].reshape(4, 2)
    feet = physics.rotated(physics.rotation_matrix(pose[3:7, None]), leg_vectors(joints[..., None]))[
        :, :, 0, 0
    ]  # (3, 4)
    points = skeleton(pose)
    assert points.shape == (4, 4, 3)
    assert_allclose(points[:, -1], pose[:3] + feet.T, rtol=1e-12)
    assert_allclose(points[:, 0], np.tile(pose[:3], (4, 1)))


def test_the_links_of_a_skeleton_keep_their_lengths():
    lengths = np.linalg.norm(np.diff(skeleton(made_up_pose()), axis=1), axis=-1)  # (4 legs, 3)
    assert_allclose(lengths, [[0.2 * np.sqrt(2), 0.2 * np.sqrt(2), 0.4 * np.sqrt(2) + 0.08]] * 4)


def walk_of(*places):
    """A walk with these values of x, which then ends."""
    poses = np.full((len(places) + 2, 15), np.nan)
    poses[: len(places)] = made_up_pose()
    poses[: len(places), 0] = places
    return poses


def test_a_strip_shows_every_tenth_pose_until_the_walk_is_over():
    _, (axes,) = new_figure()
    draw_walk(axes, walk_of(*np.arange(15)), every=10)
    assert [circle.center[0] for circle in axes.patches] == [0 + 0.35 * -1, 10 + 0.35 * -1]  # y = -1, slanted
    assert len(axes.lines) == 1 + 2 * 4  # the floor, and two ants
    assert axes.get_xlim()[1] > 14


@pytest.mark.parametrize("sideways", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("forward", [-3.0, 5.0])
def test_a_strip_shows_the_whole_way_backwards_and_sideways_too(forward, sideways):
    poses = walk_of(0.0, forward)
    poses[1, 1] = sideways
    _, (axes,) = new_figure()
    draw_walk(axes, poses, every=1)
    for circle in axes.patches:
        (x, y), left, right, low, high = circle.center, *axes.axis()
        assert left + 1 < x < right - 1 and low + 0.25 < y < high - 0.25


def test_a_film_follows_the_ant_and_holds_its_last_pose():
    """The torso is in the middle, whatever its x and y; the ruler moves below it."""
    _, (axes,) = new_figure()
    colours = []
    for number, x, text in ((0, 0.5, "0.00 s, 0.5 m"), (1, 2.5, "0.05 s, 2.5 m"), (2, 2.5, "0.05 s, 2.5 m, where")):
        axes.clear()
        follow_walk(axes, walk_of(0.5, 2.5), number, 0.05)
        (circle,) = axes.patches
        assert circle.center == (x, 0.6)
        assert_allclose(np.mean(axes.get_xlim()), x)
        assert axes.get_xticks().tolist() == [tick for tick in range(-3, 8) if abs(tick - x) <= 2.2]
        assert axes.texts[0].get_text().startswith(text)
        colours.append(circle.get_edgecolor())
    assert colours[0] == colours[1] != colours[2]


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_ants():
    """Real results of both problems, of three learners with two runs each."""
    sets = {}
    for problem, settings in (("slippery_ant", TINY), ("stationary_ant", replace(TINY, change_period=0))):
        finished = {
            name: LearnerResults(finish(start(settings, LEARNERS[name], (0, 1))), [{"seed": 0}, {"seed": 1}])
            for name in ("ppo", "ppo_l2", "ppo_continual_backprop")
        }
        sets[problem] = ResultSet(problem, "smoke", settings, finished)
    return sets


def words(figure):
    return " ".join(figure.get_supxlabel().split())


@pytest.mark.parametrize("module", [slippery_ant, stationary_ant])
def test_an_ants_problem_draws_three_figures_and_says_what_they_show(module, of_ants):
    name = module.__name__.removeprefix("problems.")
    title = name.replace("_", " ").title()
    figures = module.figures(of_ants[name])
    assert list(figures) == [name, f"{name}_diagnostics", f"{name}_walk"]
    floor = "log-uniform on [0.02, 2], redrawn every 72 steps" if module is slippery_ant else "friction 1 throughout"
    for of_curves in (figures[name], figures[f"{name}_diagnostics"]):
        for part in (
            title,
            floor,
            "not MuJoCo's",
            "8-6 units, 4 environments per run, episodes of at most 7 steps",
            "reward: speed + 1 - 0.5 times the squared actions.",
            "Mean over 2 runs; band: one standard error. Scale: smoke.",
        ):
            assert part in words(of_curves)
    assert f"{title}: the first 0.25 s of a walk by the final policies, seed 0" in words(figures[f"{name}_walk"])
    titles = [axes.get_title(loc="left").strip() for figure in figures.values() for axes in figure.axes]
    assert titles == [
        *("Reward per episode", "Reward per step", "Dormant units (%)", "Stable rank", "Weight magnitude"),
        *("Policy weight change", "PPO", "Continual Backprop"),
    ]


def test_a_figure_tells_mujocos_ants_from_ours(of_ants):
    settings = replace(
        TINY, simulator="mujoco", num_environments=1, mini_batch_size=8, control_cost_of="clipped_action"
    )
    found = words(slippery_ant.figures(replace(of_ants["slippery_ant"], settings=settings))["slippery_ant"])
    assert "MuJoCo's Ant-v5;" in found and "minilop's own" not in found
    assert "1 environment per run" in found and "times the squared clipped actions." in found


def test_dotted_lines_mark_every_change_of_friction(of_ants):
    for module, expected in ((slippery_ant, [72, 144]), (stationary_ant, [])):
        name = module.__name__.removeprefix("problems.")
        figures = module.figures(of_ants[name])
        for axes in (*figures[name].axes, *figures[f"{name}_diagnostics"].axes):
            dotted = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
            assert list(dotted) == expected
            assert len(axes.lines) == len(expected) + 3


def test_curves_stand_at_the_ends_of_bins(of_ants):
    results = of_ants["stationary_ant"]
    axes = stationary_ant.figures(results)["stationary_ant"].axes[1]
    assert axes.lines[0].get_xdata().tolist() == [40, 80, 120, 160, 200]
    assert_allclose(axes.lines[0].get_ydata(), results["ppo"]["reward"].mean(axis=0))


def test_one_learner_walks_alone_and_two_walk_the_same_run(of_ants):
    results = of_ants["slippery_ant"]
    walk = lambda **learners: slippery_ant.figures(replace(results, learners=learners))["slippery_ant_walk"]
    alone = walk(ppo_l2=results["ppo_l2"])
    assert [axes.get_title(loc="left") for axes in alone.axes] == ["L2"]
    second = LearnerResults(
        {name: array[1:] for name, array in results["ppo"].arrays.items()}, results["ppo"].metadata[1:]
    )
    both = walk(ppo=second, ppo_continual_backprop=results["ppo_continual_backprop"])
    assert "seed 1" in words(both)
    assert f"friction {results['ppo']['friction'][1, -1]:.2g}" in words(both)
    first = results["ppo_continual_backprop"]["poses"][1, 0]
    assert_allclose(both.axes[1].patches[0].center, [first[0] + 0.35 * first[1], first[2] + 0.25 * first[1]])
    other = LearnerResults(second.arrays, [{"seed": 7}])
    apart = walk(ppo=other, ppo_continual_backprop=results["ppo_continual_backprop"])
    assert len(apart.axes) == 1 and "seed 7" in words(apart)


def test_a_film_is_made_from_result_files_alone(tmp_path):
    """One frame of 0.05 s for each pose of the walk. The file contains the command that made it."""
    status, output = run_smoke(tmp_path, "--engine", "serial", learners=("ppo", "ppo_continual_backprop"))
    assert status == 0, output
    film = tmp_path / "figures" / "slippery_ant_walk.gif"
    assert (tmp_path / "figures" / "slippery_ant_walk.png").exists() and not film.exists()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    status, output = run_smoke(tmp_path, "--figures-only", "--animate", learners=("ppo", "ppo_continual_backprop"))
    assert status == 0 and f"slippery_ant: {film}" in output
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == kept
    with np.load(next((tmp_path / "results").glob("slippery_ant-ppo-*"))) as run:
        assert len(run["poses"]) == 8
    with Image.open(film) as picture:
        assert json.loads(picture.info["comment"])["fingerprints"].startswith("ppo ")
        shown = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            shown += picture.info["duration"]
    assert 50 <= shown <= 8 * 50 and shown % 50 == 0
