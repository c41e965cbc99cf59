"""The cases of temporal-difference methods.

Many features are 0. The cumulant depends on the first two features of three steps before. x holds the features of a
step, and y the cumulant that arrives with them; see minilop/prediction/linear_predictor.py for the order of a step. If
the discount changes, x holds `features` and `discount`, the discount of the transition into these features.
"""

import math
from typing import Any

import numpy as np

from minilop import draws
from minilop.backend import to_host
from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.examples import in_float32, normals

STREAM = {"discount": 0.9, "trace_decay": 0.8}
TIDBD = {"method": "tidbd", **STREAM, "meta_step_size": 0.02, "initial_step_size": 0.05}
SWIFT_TD = {"method": "swift_td", **STREAM, "initial_step_size": 0.05}


def describe(
    name: str, comment: str, settings: dict[str, Any], steps: int, seed: int, flags: tuple[str, ...]
) -> Description:
    """A case on a stream of six features."""
    comment = f"{comment} x are the features (n,) of a step, y is the cumulant () that comes with them."
    return Description(name, "prediction", comment, settings, {"inputs": 6}, steps, seed, flags)


def describe_changing(
    name: str, comment: str, settings: dict[str, Any], seed: int, flags: tuple[str, ...]
) -> Description:
    """A case on such a stream with a discount for each step, 0 at the end of an episode."""
    comment = f"{comment} x are the features (n,) of a step and the discount () of the transition into them; y is the "
    comment += "cumulant () that comes with them."
    settings = {name: value for name, value in settings.items() if name != "discount"}
    return Description(name, "prediction", comment, settings, {"inputs": 6}, 60, seed, flags)


# For methods that add the features to the trace one step later.
LATE = "last_decay is gamma lambda of the step before, by which the trace decays before it takes in the last features."

NORMALIZED = {**TIDBD, "initial_step_size": 0.2, "gradient": "semi", "normalize": True, "tau": 100.0}
OFTEN = {**NORMALIZED, "meta_step_size": 0.5}
ORDINARY = {**NORMALIZED, "meta_step_size": 0.3, "gradient": "ordinary"}
CHANGING = {**NORMALIZED, "meta_step_size": 0.3, "tau": 10.0}
DESCRIPTIONS = [
    describe(
        "td_lambda/accumulating",
        "TD(lambda) with accumulating traces.",
        {"method": "td_lambda", **STREAM, "step_size": 0.05},
        steps=80,
        seed=111,
        flags=("td_old_trace", "td_value_of_old_weights", "td_error_without_discount"),
    ),
    describe(
        "td_lambda/true_online",
        "True online TD(lambda), with dutch traces.",
        {"method": "true_online_td_lambda", **STREAM, "step_size": 0.1},
        steps=80,
        seed=112,
        flags=("td_accumulating_trace", "td_value_of_old_weights", "td_trace_without_discount"),
    ),
    describe(
        "tidbd/semi_gradient",
        "TIDBD with the semi-gradient: the next features do not count in its meta-gradient.",
        {**TIDBD, "gradient": "semi", "normalize": False},
        steps=80,
        seed=113,
        flags=("tidbd_decays_by_squares", "tidbd_memory_without_trace", "tidbd_other_gradient"),
    ),
    describe(
        "tidbd/ordinary_gradient",
        "TIDBD with the ordinary gradient, x - gamma x' in place of x.",
        {**TIDBD, "gradient": "ordinary", "normalize": False},
        steps=80,
        seed=114,
        flags=("tidbd_other_gradient",),
    ),
    describe(
        "tidbd/memory_is_forgotten",
        "TIDBD with step sizes so large that 1 - alpha x z is below 0 for some features, whose memory is then "
        "forgotten.",
        {**TIDBD, "meta_step_size": 0.01, "initial_step_size": 0.15, "gradient": "semi", "normalize": False},
        steps=60,
        seed=118,
        flags=("tidbd_unclipped",),
    ),
    describe(
        "tidbd/normalized",
        "TIDBD normalized as Autostep is, with traces from after their update throughout; its bound is met.",
        {**TIDBD, "meta_step_size": 0.1, "initial_step_size": 0.1, "gradient": "semi", "normalize": True, "tau": 100.0},
        steps=80,
        seed=115,
        flags=("tidbd_old_trace_in_normalizer",),
    ),
    describe(
        "swift_td/bound_never_met",
        "SwiftTD whose bound on the step is never met.",
        {
            **SWIFT_TD,
            "meta_step_size": 3e-4,
            "step_bound": 10.0,
            "step_decay": 0.99,
            "smallest_step_size": math.exp(-15),
        },
        steps=100,
        seed=116,
        flags=("swift_td_multiplies_by_step_size",),
    ),
    describe(
        "swift_td/bound_often_met",
        "SwiftTD whose bound is met every few steps, and whose step sizes begin above the largest and reach the "
        "smallest one.",
        {
            **SWIFT_TD,
            "initial_step_size": 0.2,
            "meta_step_size": 3e-3,
            "step_bound": 0.15,
            "step_decay": 0.97,
            "smallest_step_size": 0.02,
        },
        steps=100,
        seed=117,
        flags=(
            "swift_td_no_smallest_step_size",
            "swift_td_no_step_decay",
            "swift_td_unbounded",
            "swift_td_meta_traces_kept",
        ),
    ),
    describe_changing(
        "td_lambda/changing_discount",
        f"TD(lambda) with accumulating traces and a discount that changes. {LATE}",
        {"method": "td_lambda", **STREAM, "step_size": 0.05},
        seed=119,
        flags=("trace_decayed_by_next_discount",),
    ),
    describe_changing(
        "td_lambda/true_online_changing_discount",
        f"True online TD(lambda) with a discount that changes. {LATE}",
        {"method": "true_online_td_lambda", **STREAM, "step_size": 0.1},
        seed=120,
        flags=("trace_decayed_by_next_discount",),
    ),
    describe_changing(
        "tidbd/changing_discount",
        f"TIDBD with the ordinary gradient and a discount that changes. {LATE}",
        {**TIDBD, "gradient": "ordinary", "normalize": False},
        seed=121,
        flags=("trace_decayed_by_next_discount",),
    ),
    describe_changing(
        "swift_td/changing_discount",
        "SwiftTD with a discount that changes.",
        {
            **SWIFT_TD,
            "meta_step_size": 3e-4,
            "step_bound": 10.0,
            "step_decay": 0.99,
            "smallest_step_size": math.exp(-15),
        },
        seed=122,
        flags=("swift_td_trace_decayed_by_last_discount",),
    ),
    describe("tidbd/bound_often_met", "Normalized; the bound is met in eight steps.", OFTEN, 60, 125, ()),
    describe("tidbd/normalized_ordinary", "Normalized, with the ordinary gradient.", ORDINARY, 60, 191, ()),
    describe_changing("tidbd/normalized_changing_discount", f"Normalized; the bound is met. {LATE}", CHANGING, 141, ()),
]


def make_inputs(case: Case) -> Arrays:
    """Initial weights of 0, and the stream. Changing discounts are 0 with probability 0.1, otherwise from 0.64 to 1."""
    features = normals(case.seed, "verify inputs", (case.sizes["inputs"],), case.steps, active_share=0.6)
    cumulants = normals(case.seed, "verify targets", (), case.steps) / 8
    cumulants[3:] += features[:-3, 0] - features[:-3, 1]
    weights, cumulants = np.zeros(case.sizes["inputs"]), in_float32(cumulants)
    if "discount" in case.settings:
        return {"state/weights": weights, "x": features, "y": cumulants}
    uniform = to_host(draws.uniform(case.seed, "verify discount", (), step=np.arange(case.steps), dtype="float64"))
    discounts = in_float32(np.where(uniform < 0.1, 0, 0.6 + 0.4 * uniform))
    return {"state/weights": weights, "x/features": features, "x/discount": discounts, "y": cumulants}
