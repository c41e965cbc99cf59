"""Settings given as text, the errors that name the remedy, and fingerprints."""

import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any, Literal

import pytest
import toy_composed
import toy_problem
from toy_blocks import experiment
from toy_problem import ToyLearner, ToySettings

from minilop.experiment.parsing import is_text_type, nearest
from minilop.experiment.settings import (
    Experiment,
    SettingsError,
    all_settings,
    differences,
    fingerprint,
    override,
    sentence,
    unknown,
)
from minilop.learner_settings import LearnerSettings
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, ReDo

pytestmark = pytest.mark.quick


@dataclass(frozen=True)
class Settings:
    num_tasks: int = 10
    step_size: float = 0.1
    shuffled: bool = False
    activation: Literal["relu", "tanh", "linear"] = "relu"
    label: str = ""
    limit: int | None = 5
    count: int | Literal["all", "eligible"] = "all"
    widths: tuple[int, ...] = (5,)
    betas: tuple[float, float] = (0.9, 0.999)
    nested: Any = None

    def __post_init__(self) -> None:
        if self.num_tasks < 0:
            raise ValueError("tasks are counted from zero.")
        if self.limit is not None and self.limit > self.num_tasks:
            raise ValueError("limit must be\nat most num_tasks")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_tasks", "25", 25),
        ("num_tasks", "1e6", 1_000_000),
        ("num_tasks", "12345678901234567891", 12345678901234567891),
        ("step_size", "1e-3", 0.001),
        ("step_size", "1", 1.0),
        ("shuffled", "true", True),
        ("shuffled", "False", False),
        ("activation", " tanh ", "tanh"),
        ("label", "a, b = c", "a, b = c"),
        ("limit", "none", None),
        ("limit", "7", 7),
        ("count", "3", 3),
        ("count", "eligible", "eligible"),
        ("widths", "100,50", (100, 50)),
        ("widths", "(100, 50,)", (100, 50)),
        ("widths", "()", ()),
        ("betas", "0.5,0.75", (0.5, 0.75)),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(name: str, text: str, value: object) -> None:
    changed = getattr(override(Settings(), {name: text}), name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("num_tasks", "ten", "expects a whole number, not 'ten'"),
        ("num_tasks", "1.5", "expects a whole number"),
        ("num_tasks", "inf", "expects a whole number"),
        ("num_tasks", "²", "The setting num_tasks expects a whole number, not '²'."),
        ("num_tasks", "++5", "The setting num_tasks expects a whole number, not '++5'."),
        ("num_tasks", "9" * 5000, f"The setting num_tasks expects a whole number, not '{'9' * 57}...'."),
        ("widths", "5,²", "expects values separated by commas, each a whole number, not '5,²'."),
        ("step_size", "+-1", "The setting step_size expects a number, not '+-1'."),
        ("num_tasks", "-1", "tasks are counted from zero"),
        ("step_size", "nan", "expects a number"),
        ("step_size", "small", "expects a number"),
        ("shuffled", "yes please", "expects true or false"),
        ("activation", "tahn", "one of relu, tanh, linear (the nearest is tanh)"),
        ("limit", "x", "a whole number or none"),
        ("widths", "1,x", "each a whole number"),
        ("betas", "0.9", "2 values"),
        ("nested", "3", "only be set in the file of the problem"),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_was_expected(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        override(Settings(), {name: text})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no setting 'stepsize'; did you mean step_size"):
        override(Settings(), {"stepsize": "1"})


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("idbd", "idbd"),
        ("ibdd", "idbd"),  # letters swapped
        ("swifttd", "swift_td"),  # one left out
        ("shrink_perturb", "shrink_and_perturb"),  # four of fourteen
        ("meta_step_size", None),  # initial_step_size is another thing
        ("metaoptimize", None),
        ("zzz", None),
    ],
)
def test_a_name_is_suggested_only_where_it_may_have_been_meant(name: str, near: str | None) -> None:
    assert nearest(name, ["idbd", "swift_td", "shrink_and_perturb", "initial_step_size", "network_idbd"]) == near


def test_where_no_name_is_near_the_error_says_what_there_is() -> None:
    assert str(unknown("learner", "zzz", ["backprop", "l2"])) == "There is no learner 'zzz'; choose from backprop, l2."
    many = [f"name_{number}" for number in range(30)]
    assert str(unknown("learner", "zzz", many)) == "There is no learner 'zzz'; --list shows all 30."
    with pytest.raises(SettingsError) as error:
        override(Settings(), {"activation": "swish"})
    assert str(error.value) == "The setting activation expects one of relu, tanh, linear, not 'swish'."


def test_settings_that_only_fit_together_are_changed_together() -> None:
    changed = override(Settings(), {"limit": "20", "num_tasks": "30"})
    assert (changed.limit, changed.num_tasks) == (20, 30)
    with pytest.raises(SettingsError) as error:
        override(Settings(), {"limit": "20", "num_tasks": "12"})
    assert str(error.value) == "limit=20, num_tasks=12 cannot be used: limit must be at most num_tasks."


def test_differences_are_what_set_would_say() -> None:
    changed = replace(Settings(), num_tasks=7, limit=None, widths=(3, 4))
    told = ["p.num_tasks=7", "p.limit=None", "p.widths=3,4"]
    assert differences(Settings(), changed, "p") == told
    texts = dict(one.removeprefix("p.").split("=") for one in told)
    assert override(Settings(), texts) == changed


def test_a_sentence_is_one_line_with_one_full_stop() -> None:
    assert sentence("no\n  full stop") == "no full stop."
    assert [sentence(text) for text in ("one.", "a question?")] == ["one.", "a question?"]


def test_an_override_leaves_the_original_as_it_was() -> None:
    original = Settings()
    override(original, {"num_tasks": "30"})
    assert original == Settings()
    with pytest.raises(FrozenInstanceError):
        original.num_tasks = 3  # type: ignore[misc]


def test_a_fingerprint_depends_on_what_decides_the_numbers_and_on_nothing_else() -> None:
    one = experiment()
    assert len(one.fingerprint) == 10
    assert set(one.fingerprint) <= set("0123456789abcdef")
    assert replace(one, scale="paper", module="elsewhere", changes=("a=1",)).fingerprint == one.fingerprint
    others = [
        replace(one, problem="other"),
        replace(one, learner="slow"),
        experiment(num_steps=9),
        replace(one, learner_settings=ToyLearner(rate=3.8)),
        replace(one, learner_settings=ToyLearner(dtype="float64")),
        replace(one, data_source="other examples"),
    ]
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_a_whole_number_and_the_same_float_have_one_fingerprint() -> None:
    one = experiment(pause=1)
    assert one.fingerprint == experiment(pause=1.0).fingerprint
    assert one.fingerprint != experiment(pause=1.5).fingerprint


# --- settings that are composed of parts ------------------------------------------------------------------------------

BOTH = LearnerSettings(SGD(step_size=0.1), (ContinualBackprop(), ReDo()))


def composed(settings: LearnerSettings) -> Experiment:
    return Experiment("toy", "composed", ToySettings(), settings, "toy_composed", "smoke")


@pytest.mark.parametrize(
    ("name", "text", "part", "value"),
    [
        ("step_size", "0.5", "optimizer", 0.5),
        ("optimizer.step_size", "1", "optimizer", 1.0),
        ("activation", "tanh", "network", "tanh"),
        ("network.activation", "tanh", "network", "tanh"),
        ("decay_rate", "0.5", "continual_backprop", 0.5),
        ("continual_backprop.replacement_rate", "1e-3", "continual_backprop", 0.001),
        ("redo_period", "1e3", "redo", 1000),
        ("redo.reset_optimizer_state", "true", "redo", True),
    ],
)
def test_a_setting_of_a_part_is_changed_by_its_name_or_by_its_full_name(
    name: str, text: str, part: str, value: object
) -> None:
    changed = override(BOTH, {name: text})
    found = getattr(changed.parts()[part], name.rpartition(".")[2])
    assert found == value
    assert type(found) is type(value)
    assert {other: each for other, each in changed.parts().items() if other != part} == {
        other: each for other, each in BOTH.parts().items() if other != part
    }


def test_the_learners_own_settings_and_several_parts_are_changed_at_once() -> None:
    changed = override(
        BOTH, {"reset": "head", "dtype": "float64", "step_size": "0.2", "momentum": "0.9", "when": "before_update"}
    )
    rules = (ContinualBackprop(when="before_update"), ReDo())
    assert changed == LearnerSettings(SGD(0.2, 0.9), rules, reset="head", dtype="float64")
    assert BOTH == LearnerSettings(SGD(step_size=0.1), (ContinualBackprop(), ReDo()))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("step_size", "abc", "The setting step_size expects a number, not 'abc'."),
        ("optimizer.momentum", "true", "The setting optimizer.momentum expects a number, not 'true'."),
        ("step_size", "-1", "step_size must be a finite number, at least 0, not -1.0."),
        (
            "kind",
            "linear",
            "kind=linear cannot be used: continual_backprop acts on hidden units, and kind=linear has none; ",
        ),
        ("activation", "tahn", "(the nearest is tanh), not 'tahn'."),
        ("stepsize", "1", "There is no setting 'stepsize'; did you mean step_size?"),
        ("optimizer.stepsize", "1", "There is no setting 'optimizer.stepsize'; did you mean optimizer.step_size?"),
        ("sgd.step_size", "1", "There is no setting 'sgd.step_size'; choose from optimizer.step_size."),
        ("rules", "redo", "There is no setting 'rules'; "),
        (
            "reset_optimizer_state",
            "true",
            "choose continual_backprop.reset_optimizer_state or redo.reset_optimizer_state.",
        ),
    ],
)
def test_what_does_not_fit_a_composed_learner_is_one_sentence(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as error:
        override(BOTH, {name: text})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["step_size", "optimizer.step_size"])
def test_a_refusal_names_the_setting_once(name: str) -> None:
    with pytest.raises(SettingsError, match="^step_size must be a finite number, at least 0, not -1.0.$"):
        override(BOTH, {name: "-1"})


def test_a_hyperparameter_that_may_be_an_array_takes_a_number_even_where_it_is_a_whole_one_now() -> None:
    assert override(LearnerSettings(SGD(step_size=1)), {"step_size": "0.5"}).optimizer == SGD(step_size=0.5)
    array = LearnerSettings(SGD(step_size=[[0.1], [0.2]]))
    with pytest.raises(SettingsError, match="a value that can only be set in the file of the problem"):
        override(array, {"step_size": "0.5"})


def test_fields_that_hold_parts_are_no_settings() -> None:
    assert list(all_settings(LearnerSettings())) == [
        *("optimizer.step_size", "optimizer.momentum", "optimizer.weight_decay"),
        *("network.kind", "network.activation", "network.dropout", "network.batch_norm"),
        *("reset", "dtype"),
    ]
    assert [is_text_type(kind) for kind in (tuple[int, ...], int | None, tuple[SGD, ...], SGD, dict)] == [
        *(True, True, False, False, False)
    ]


def test_differences_of_composed_settings_have_the_shortest_names() -> None:
    texts = {"dtype": "float64", "step_size": "0.5", "redo.reset_optimizer_state": "true"}
    changed = override(BOTH, texts)
    told = ["p.step_size=0.5", "p.redo.reset_optimizer_state=True", "p.dtype=float64"]
    assert differences(BOTH, changed, "p") == told
    assert override(BOTH, dict(one.removeprefix("p.").split("=") for one in told)) == changed


def test_the_identity_names_the_kind_of_every_part() -> None:
    settings = LearnerSettings(SGD(step_size=1), (ReDo(), ContinualBackprop()))
    identity = composed(settings).identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity["format"] == 3
    stored = identity["learner_settings"]
    assert stored["optimizer"] == {"name": "sgd", "step_size": 1, "momentum": 0, "weight_decay": 0}
    assert stored["network"] == {"kind": "deep", "activation": "relu", "dropout": 0, "batch_norm": False}
    assert [rule["name"] for rule in stored["rules"]] == ["redo", "continual_backprop"]
    assert (stored["reset"], stored["dtype"]) == ("nothing", "float32")


def test_the_fingerprint_of_composed_settings_depends_on_kinds_and_values() -> None:
    values = {"step_size": 0.01, "weight_decay": 0.0}
    variants = [
        LearnerSettings(SGD(**values)),
        LearnerSettings(Adam(**values)),
        LearnerSettings(SGD(**values), (ReDo(),)),
        LearnerSettings(SGD(**values), (ReDo(redo_period=7),)),
        LearnerSettings(SGD(**values), (ReDo(), ContinualBackprop())),
        LearnerSettings(SGD(**values), (ContinualBackprop(), ReDo())),
        LearnerSettings(SGD(**values), reset="head"),
    ]
    assert len({composed(settings).fingerprint for settings in variants}) == len(variants)
    assert composed(LearnerSettings(SGD(step_size=1))).fingerprint == composed(LearnerSettings(SGD(1.0))).fingerprint


@pytest.mark.parametrize("problem", [toy_problem, toy_composed])
def test_experiments_are_pickled_and_compared_as_they_are(problem: Any) -> None:
    """They go to other processes. Composed settings have no hash, so nothing may ask for that of an experiment."""
    for learner, settings in problem.LEARNERS.items():
        one = Experiment("toy", learner, ToySettings(), settings, problem.__name__, "smoke")
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert again.fingerprint == one.fingerprint
