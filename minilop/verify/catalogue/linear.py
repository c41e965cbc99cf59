"""The cases of linear methods that learn step sizes.

There are six inputs. The target depends only on the first three. Halfway through the stream the target's weights
change sign, so that learning the step sizes is useful.
"""

from typing import Any

import numpy as np

from minilop.verify.case import Arrays, Case
from minilop.verify.catalogue.description import Description
from minilop.verify.catalogue.examples import in_float32, normals

SIZES = {"inputs": 6}


def describe(
    name: str, comment: str, settings: dict[str, Any], steps: int, seed: int, flags: tuple[str, ...], **sizes: float
) -> Description:
    """A case of the method in the first part of its name."""
    settings = {"method": name.split("/")[0], **settings}
    comment = f"{comment} x are the inputs (n,), y is the target ()."
    return Description(name, "linear", comment, settings, {**SIZES, **sizes}, steps, seed, flags)


DESCRIPTIONS = [
    describe(
        "lms/constant_step_size",
        "The least-mean-square rule, w <- w + alpha (y - w . x) x.",
        {"step_size": 0.05},
        steps=60,
        seed=101,
        flags=("lms_squared_error", "error_sign", "error_reported_as_prediction_minus_target"),
    ),
    describe(
        "idbd/learned_step_sizes",
        "IDBD, whose [1 - alpha x^2]+ never is 0 here.",
        {"meta_step_size": 0.05, "initial_step_size": 0.05},
        steps=100,
        seed=102,
        flags=("idbd_prediction_gradient", "idbd_meta_gradient_sign", "idbd_old_step_size", "idbd_new_trace"),
    ),
    describe(
        "idbd/trace_is_forgotten",
        "IDBD with step sizes so large that 1 - alpha x^2 is below 0 for some inputs, whose trace is then forgotten.",
        {"meta_step_size": 0.003, "initial_step_size": 0.25},
        steps=60,
        seed=103,
        flags=("idbd_unclipped",),
        active_share=0.4,
    ),
    describe(
        "autostep/permanent_bound",
        "Autostep as in the paper: where sum alpha x^2 is above 1, the step sizes themselves are divided by it.",
        {"meta_step_size": 0.1, "initial_step_size": 0.1, "tau": 100.0, "bound": "permanent"},
        steps=100,
        seed=104,
        flags=("autostep_bound_passes", "autostep_no_bound", "autostep_no_maximum", "autostep_old_normalizer"),
        loud_every=9,
        loudness=4.0,
    ),
    describe(
        "autostep/transient_bound",
        "The same, where the bound divides only the step sizes that this update uses.",
        {"meta_step_size": 0.1, "initial_step_size": 0.1, "tau": 100.0, "bound": "transient"},
        steps=100,
        seed=104,
        flags=("autostep_bound_stays", "autostep_no_bound"),
        loud_every=9,
        loudness=4.0,
    ),
    describe(
        "autostep/sparse_inputs",
        "Autostep with inputs that are mostly 0: where v is still 0 the step size stays as it is.",
        {"meta_step_size": 0.1, "initial_step_size": 0.1, "tau": 20.0, "bound": "permanent"},
        steps=100,
        seed=105,
        flags=("autostep_no_maximum", "autostep_old_normalizer"),
        active_share=0.3,
    ),
]


def make_inputs(case: Case) -> Arrays:
    """Initial weights of 0, and the examples; every `loud_every`-th input vector is `loudness` times as large."""
    sizes = case.sizes
    x = normals(case.seed, "verify inputs", (sizes["inputs"],), case.steps, sizes.get("active_share", 1.0))
    if "loud_every" in sizes:
        x[:: sizes["loud_every"]] *= sizes["loudness"]
    signs = np.where(np.arange(case.steps) < case.steps // 2, 1.0, -1.0)
    noise = normals(case.seed, "verify targets", (), case.steps)
    y = signs * x[:, : sizes["inputs"] // 2].sum(axis=-1) + noise / 8
    return {"state/weights": np.zeros(sizes["inputs"]), "x": x, "y": in_float32(y)}
