"""The vectors of learners: right by other means than minilop itself, made again the same, and able to name mistakes."""

import ast
import functools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from draws_by_hand import words_by_hand
from numpy.testing import assert_allclose
from verify_loops import LoopRun, MetaOptimizeRun, NetworkIDBDRun

import minilop
from minilop.verify import diagnosis, generate, reference
from minilop.verify.adapter import run_adapter
from minilop.verify.case import below, last_quantity
from minilop.verify.case_files import load_case
from minilop.verify.catalogue.learners import DESCRIPTIONS, make_inputs
from minilop.verify.comparison import compare
from minilop.verify.diagnosis import diagnose, mistaken_trace
from minilop.verify.generate import make_case
from minilop.verify.mistakes import MISTAKES
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.learners import LearnerReference

CASES = [description.id for description in DESCRIPTIONS]
FLAGGED = [description.id for description in DESCRIPTIONS if description.flags]
FIRST_OF_SUITES = list({case_id.split("/")[0]: case_id for case_id in reversed(CASES)}.values())
case_of = functools.cache(load_case)


def relative_error(found, expected):
    """The largest error, as a share of the largest number."""
    return abs(found - expected).max(initial=0) / (abs(expected).max(initial=0) or 1)


# --- right ------------------------------------------------------------------------------------------------------------

LOOPS = {"network_idbd": NetworkIDBDRun, "metaoptimize": MetaOptimizeRun}
LOOPED = [
    each.id
    for each in DESCRIPTIONS
    if each.sizes["network"] in ("mlp", "linear")
    and each.settings["activation"] in ("relu", "tanh")
    and not each.settings.get("replacement_rate")
    and not each.settings.get("redo_period")
]


@pytest.mark.parametrize("case_id", LOOPED)
def test_a_loop_over_weights_finds_the_same(case_id):
    """An implementation that shares no line with minilop's; rules that replace units are a loop in the kit itself."""
    case = case_of(case_id)
    found = LOOPS.get(case.suite, LoopRun)(case).learn()
    compared = [name for name in found if name in case.final_names]
    assert "weight/0" in compared
    for name in compared:
        assert relative_error(found[name], case.expected[case.final_names[name]]) < 1e-10, name


@pytest.mark.quick
def test_the_rules_of_the_reference_use_nothing_of_the_librarys():
    """So that they and the library check each other."""
    for name in ("replacement", "continual_backprop", "redo"):
        tree = ast.parse((Path(reference.__file__).parent / f"{name}.py").read_text())
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert imported and not any(module.startswith("minilop.plasticity") for module in imported)


WITH_GRADIENTS = [each.id for each in DESCRIPTIONS if each.id.split("/")[0] not in ("continual_backprop", "redo")]


@pytest.mark.quick
@pytest.mark.parametrize("case_id", WITH_GRADIENTS)
def test_gradients_are_the_slopes_of_the_loss(case_id):
    """Central differences of the mean loss along a random direction; at kinks of the relu they could not agree."""
    case = case_of(case_id)
    player = LearnerReference()
    player.load(case, case.parameters)
    for step in (0, case.steps - 1):
        x, y, _ = case.example(step)
        direction = np.random.default_rng(step).normal(size=player.network.num_parameters)
        player.set_state(case.state_before(step))
        parameters, point = player.network.parameters, player.network.parameters.copy()

        def mean_loss(shift, x=x, y=y, point=point, direction=direction, parameters=parameters):
            parameters[...] = point + shift * direction
            return player.loss(player.learner.forward(x[None])[-1], y[None])[0].mean()

        by_hand = (mean_loss(1e-6) - mean_loss(-1e-6)) / 2e-6
        backward = {name.split("/", 1)[1]: array[step] for name, array in case.expected.items()}
        gradients = [
            backward[f"{name.split('/')[0]}_gradient/{name.split('/')[1]}"].ravel() for name in case.parameters
        ]
        along = np.concatenate(gradients) @ direction
        assert by_hand == pytest.approx(along, rel=1e-5, abs=1e-7)


@pytest.mark.quick
@pytest.mark.parametrize("case_id", CASES)
def test_draws_are_those_of_the_documented_formula(case_id):
    """By Philox in Python's integers, a few slots of each array; the coordinates are those of the table in draws.py."""
    case = case_of(case_id)
    normal_weights = case.settings.get("fresh_weights") == "normal" or case.sizes["network"] == "resnet"
    for name, array in below(case.inputs, "draws").items():
        purpose, *rest = name.split("/")
        for step in (0, 7, case.steps - 1):
            if purpose == "fresh_weight":
                row = array[step, -1].ravel()
                found = words_by_hand(
                    case.seed, "fresh weight", len(row) + 1, int(rest[0]), step, slot=array.shape[1] - 1
                )
                assert_allclose(row, numbers(found, normal_weights)[: len(row)], rtol=1e-12)
            elif purpose == "random_utility":
                found = words_by_hand(case.seed, "random utility", array.shape[1], int(rest[0]), step)
                assert_allclose(array[step], numbers(found, False), rtol=0)
            elif purpose == "replacement_coin":
                found = words_by_hand(case.seed, "replacement coin", case.steps, int(rest[0]))
                assert array[step] == numbers(found, False)[step]
    noise = below(case.inputs, "draws/noise")
    if noise:
        flat = np.concatenate([noise[name][7].ravel() for name in case.parameters])
        found = words_by_hand(case.seed, "perturbation", len(flat) + 1, step=7)
        assert_allclose(flat, numbers(found, True)[: len(flat)], rtol=1e-12)


def numbers(words, normal):
    """Words as uniform numbers (w >> 8) 2^-24, or pairs of these as normal ones by Box and Muller."""
    uniforms = [(word >> 8) * 2.0**-24 for word in words]
    if not normal:
        return np.array(uniforms)
    pairs = zip(uniforms[::2], uniforms[1::2])
    turns = [(np.sqrt(-2 * np.log(1 - first)), 2 * np.pi * second) for first, second in pairs]
    return np.array([length * each(angle) for length, angle in turns for each in (np.cos, np.sin)])


# --- made again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=CASES)
def test_the_vectors_are_what_the_catalogue_makes(description):
    """Bits may differ where another machine's library rounds otherwise, 1e-12 of the largest number does not."""
    case, again = case_of(description.id), description.case({})
    again = make_case(description.case(make_inputs(again)))
    assert (again.flags, again.steps, again.seed, again.comment) == (case.flags, case.steps, case.seed, case.comment)
    assert again.settings == case.settings
    for stored, made in ((case.inputs, again.inputs), (case.expected, again.expected)):
        assert stored.keys() == made.keys()
        for name, array in stored.items():
            assert made[name].dtype == array.dtype and relative_error(made[name] * 1.0, array * 1.0) < 1e-12, name
    assert case.margins.keys() == again.margins.keys()
    for choice, margin in again.margins.items():
        assert margin == pytest.approx(case.margins[choice], rel=0.01)
        assert margin > (3e-4 if choice == "relu" else 1e-3)


def check_agreement(case, mode):
    verdict = compare(case, run_adapter(LearnerReference(), case, mode))
    assert verdict.agrees, (case.dtype, mode, verdict.difference)
    assert not verdict.not_returned


@pytest.mark.parametrize("case_id", CASES)
def test_the_reference_agrees_with_its_own_vectors(case_id):
    """In both modes and dtypes. Nothing is left out."""
    for dtype in ("float64", "float32"):
        for mode in ("free", "resync"):
            check_agreement(case_of(case_id).cast(dtype), mode)


STRICT = [*FIRST_OF_SUITES, "continual_backprop/adam_reset", "continual_backprop/residual_cut", "redo/convolutional"]


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("case_id", STRICT)
def test_the_reference_agrees_where_the_rules_of_cupy_hold(case_id):
    """Networks and optimizers are on the device; rules fetch what they change and bring it back."""
    for mode in ("free", "resync"):
        check_agreement(case_of(case_id), mode)


REPLACING = [
    each.id for each in DESCRIPTIONS if each.settings.get("replacement_rate") or each.settings.get("redo_period")
]


@pytest.mark.parametrize("case_id", REPLACING)
def test_the_vectors_of_the_first_version_are_played_to_1e_10(case_id):
    """They were made by an array program; choices are the same, and so are numbers but for the order of summation."""
    case = case_of(case_id)
    for name, array in run_adapter(LearnerReference(), case).items():
        assert relative_error(array * 1.0, case.expected[name] * 1.0) < (1e-10 if array.dtype.kind == "f" else 1e-300)


@pytest.mark.quick
def test_the_cases_have_every_utility_and_convention():
    """Each value of each option of Continual Backprop is in some case."""
    seen = {
        (name, value)
        for description in DESCRIPTIONS
        if description.settings.get("replacement_rate")
        for name, value in description.settings.items()
        if not isinstance(value, float)
    }
    options = {
        "utility": "weight contribution adaptation zero_contribution adaptable_contribution feature_by_input random",
        "outgoing": "mean sum",
        "average": "utility lifetime_activity",
        "centre": "updated previous",
        "rate_counts": "eligible all",
        "rounding": "accumulate chance single",
        "fresh_weights": "initial normal",
        "when": "after_update before_update",
        "shortcuts": "ignored cut",
        "optimizer": "sgd adam network_idbd",
    }
    assert {(name, value) for name, values in options.items() for value in values.split()} <= seen
    for name in ("bias_correction", "transfer_bias", "reset_optimizer_state"):
        assert {(name, True), (name, False)} <= seen


@pytest.mark.quick
def test_every_trajectory_is_long_enough_for_what_shows_late():
    """A unit must mature, be replaced, mature again and be ranked among older ones. Residual networks are too large."""
    for description in DESCRIPTIONS:
        if not description.id.startswith("networks/") and description.sizes["network"] != "resnet":
            assert description.steps >= 60, description.id


def test_the_average_without_correction_shows_early_in_the_weights_alone():
    """The most important mistake, for those who return nothing but weights."""
    case = case_of("continual_backprop/contribution")
    trace = mistaken_trace(case, MISTAKES["raw_running_average"])
    weights = {name: array for name, array in trace.items() if name.startswith("replacement/weight")}
    difference = compare(case, weights).difference
    assert case.steps >= 100 and difference and difference.step < 40
    # One divisor for all units ranks them as none does: the other name differs in the corrected utilities alone.
    alike = ["raw_running_average", "correction_by_step"]
    assert [mistake.name for mistake in diagnose(case, weights)[0]] == alike


@pytest.mark.parametrize(
    ("case_id", "name"),
    [
        ("continual_backprop/contribution", "raw_running_average"),
        ("continual_backprop/paper", "corrected_running_average"),
        ("continual_backprop/no_bias_correction", "corrected_running_average"),
        ("continual_backprop/lifetime_activity", "lifetime_activity_ignored"),
        ("continual_backprop/lifetime_weight", "lifetime_activity_counted"),
    ],
)
def test_another_way_of_ranking_replaces_other_units(case_id, name):
    """So it is found whatever is returned, not by the utilities alone."""
    case = load_case(case_id)
    trace = mistaken_trace(case, MISTAKES[name])
    chosen = [quantity for quantity in case.expected if quantity.startswith("selection/replaced")]
    assert any((trace[quantity] != case.expected[quantity]).any() for quantity in chosen)


def test_every_case_of_replacement_replaces_mature_units_alone():
    """So no case is without what it is about, and no age is reset that was not above the threshold."""
    for case_id in CASES:
        case = case_of(case_id)
        replaced = {name: array for name, array in case.expected.items() if last_quantity(name) == "replaced"}
        if case.settings.get("replacement_rate") or case.settings.get("redo_period"):
            assert sum(array.sum() for array in replaced.values()) >= 3, case_id
        for name, array in replaced.items():
            if case.settings.get("replacement_rate"):
                age = case.expected[f"age_and_utility/age/{name.split('/')[-1]}"]
                assert (age[array] > case.settings["maturity_threshold"]).all()


# --- mistakes ---------------------------------------------------------------------------------------------------------

OF_LEARNERS = {name: mistake for name, mistake in MISTAKES.items() if mistake.kind == "learner"}


def test_there_is_a_case_for_every_mistake():
    """With the next test: each fails a case, and no two look alike there."""
    flags = [flag for description in DESCRIPTIONS for flag in description.flags]
    assert set(flags) == set(OF_LEARNERS)
    assert len(OF_LEARNERS) >= 20
    for mistake in OF_LEARNERS.values():
        assert mistake.says.endswith(".")
        assert (Path(minilop.__file__).parent.parent / mistake.page).is_file()


EVERYWHERE = (
    "age_at_least",
    "maturity_ignored",
    "immature_replaced",
    "budget_counts_immature",
    "budget_counts_all_units",
    "one_budget_for_all_layers",
    "layers_in_reverse",
    "fresh_weights_by_first_layer",
)
ADAPTABLE = (
    "layers_in_sequence",
)  # a contribution does not know the weights that enter a unit: there it is no mistake
TWO_LAYERS = {
    "immature_units": EVERYWHERE,
    "paper_two_layers": (*EVERYWHERE, "due_at_one"),
    "single_two_layers": (*EVERYWHERE, *ADAPTABLE, "due_at_one"),
    "before_update_two_layers": EVERYWHERE,
    "momentum_two_layers": (*EVERYWHERE, *ADAPTABLE, "moments_reset"),
    "momentum_reset_two_layers": (*EVERYWHERE, "moments_kept", "outgoing_moments_kept"),
    "adam_reset_two_layers": (*EVERYWHERE, "moments_kept", "outgoing_moments_kept", "adam_step_kept"),
}


@pytest.mark.parametrize("name", TWO_LAYERS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_two_hidden_layers_catch_what_one_cannot(name):
    """Who is protected, who is counted, what comes before what: in the paper's own convention, and in others."""
    case = case_of(f"continual_backprop/{name}")
    for mistake in TWO_LAYERS[name]:
        assert not compare(case, mistaken_trace(case, MISTAKES[mistake])).agrees, mistake


def test_young_units_stand_beside_several_that_are_replaced():
    """In the case that is about it, immature units are the least useful ones, and different units go."""
    case = case_of("continual_backprop/immature_units")
    for layer in (0, 1):
        age, worth = (case.expected[f"age_and_utility/{name}/{layer}"] for name in ("age", "bias_corrected_utility"))
        replaced = case.expected[f"selection/replaced/{layer}"]
        is_young = age <= case.settings["maturity_threshold"]
        least = np.take_along_axis(is_young, worth.argmin(axis=1)[:, None], axis=1)[:, 0]
        assert (least & replaced.any(axis=1)).sum() >= 3 and replaced.any(axis=0).sum() >= 3


def test_units_of_equal_utility_and_several_at_once_are_among_the_cases():
    case = case_of("continual_backprop/ties")
    tied = 0
    for layer in (0, 1):
        age, worth = (case.expected[f"age_and_utility/{name}/{layer}"] for name in ("age", "utility"))
        is_tied = (age > case.settings["maturity_threshold"]) & (worth == 0)
        tied += (is_tied.sum(axis=1) > case.expected[f"selection/replaced/{layer}"].sum(axis=1)).sum()
    assert tied >= 3
    several = case_of("continual_backprop/several_due").expected["selection/replaced/0"].sum(axis=1)
    assert several.max() >= 2


def test_a_mistake_that_lacks_what_differs_first_is_not_named(monkeypatch):
    """Its trace agrees with what is returned wherever it has something to say; on the first difference it is silent."""
    case = case_of("continual_backprop/contribution")
    silent = partial(LearnerReference, {"bias_correction": False})
    mistake = Mistake("silent", "It does not correct.", "docs/verify.md", "learner", silent)
    monkeypatch.setattr(diagnosis, "possible_mistakes", lambda case: [mistake])
    trace = run_adapter(silent(), case)
    assert diagnose(case, trace) == ([mistake], [])
    name = "age_and_utility/bias_corrected_utility/0"
    assert name not in trace
    assert diagnose(case, {**trace, name: 1 + case.expected[name]}) == ([], [])


def test_a_case_that_is_there_keeps_its_arrays_and_may_not_get_others(monkeypatch, tmp_path):
    case = case_of("sgd/plain")
    monkeypatch.setattr(generate, "make_cases", lambda: [case])
    generate.write_vectors(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rounded = {name: array * (1 + 1e-15) for name, array in case.expected.items()}
    monkeypatch.setattr(generate, "make_cases", lambda: [replace(case, expected=rounded)])
    generate.write_vectors(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    changed = {name: array * 1.01 for name, array in case.expected.items()}
    monkeypatch.setattr(generate, "make_cases", lambda: [replace(case, expected=changed)])
    with pytest.raises(ValueError, match="sgd/plain: its numbers are no longer those of the files"):
        generate.write_vectors(tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("case_id", FLAGGED)
def test_a_known_mistake_is_named_and_no_other(case_id, monkeypatch):
    """Where a case is there to catch a mistake, a trace with it fails and has its name alone, in both modes and dtypes."""
    traces = {}

    def remembered(case, mistake, mode):
        key = (mistake.name, mode, case.dtype)
        if key not in traces:
            traces[key] = mistaken_trace(case, mistake, mode)
        return traces[key]

    monkeypatch.setattr(diagnosis, "mistaken_trace", remembered)
    for dtype, mode in (("float64", "free"), ("float32", "resync")):
        case = case_of(case_id).cast(dtype)
        for flag in case.flags:
            trace = remembered(case, MISTAKES[flag], mode)
            assert not compare(case, trace).agrees
            assert [mistake.name for mistake in diagnose(case, trace, mode)[0]] == [flag]


@pytest.mark.parametrize("case_id", CASES)
def test_every_mistake_can_be_made_wherever_it_applies(case_id):
    """Or the diagnosis of another mistake would end with an error; the first steps of a case are enough to see that."""
    case = case_of(case_id)
    case = replace(case, steps=min(14, case.steps))
    applying = [mistake for mistake in OF_LEARNERS.values() if mistake.applies(case)]
    assert applying
    for mistake in applying:
        trace = mistaken_trace(case, mistake)
        assert {len(array) for array in trace.values()} == {case.steps}
