"""What the operator says about input that it cannot take."""

import pytest
import torch

from orchid_genomics.errors import MachineError, NumericError, OrchidError
from orchid_genomics.ops import BACKENDS, long_conv
from orchid_genomics.ops.triton import machine


def arguments(B=2, D=4, L=8, side=1) -> dict[str, torch.Tensor]:
    C, F = D, L // 2 + 1
    return {
        "z_BDL": torch.randn(B, D, L),
        "v_BDL": torch.randn(B, D, L),
        "static_CF": torch.randn(C, F, dtype=torch.complex64),
        "gain_CF": torch.randn(C, F, dtype=torch.complex64),
        "taps_CJ": torch.randn(C, side, dtype=torch.complex64),
    }


def test_an_unknown_backend_is_named_with_what_can_run():
    with pytest.raises(MachineError) as caught:
        long_conv(**arguments(), backend="cufft")
    assert str(caught.value) == f"backend: unknown backend 'cufft'; possible: {', '.join(BACKENDS)}"
    assert isinstance(caught.value, OrchidError)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["z_BDL", "v_BDL", "static_CF", "gain_CF", "taps_CJ"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_nan_and_infinity_are_an_error_that_names_the_tensor(backend, bad, name, masked):
    values = arguments()
    values[name][(1, *[1] * (values[name].ndim - 2), 0)] = bad
    mask = torch.ones(2, 8) if masked else None
    with pytest.raises(
        NumericError,
        match=rf"^long_conv: {name.split('_')[0]}: holds NaN or infinity; finite numbers$",
    ):
        long_conv(**values, mask_BL=mask, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_behind_a_mask_is_still_an_error(backend):
    values = arguments()
    values["v_BDL"][0, 0, -1] = float("nan")
    mask = torch.ones(2, 8)
    mask[:, -1] = 0
    with pytest.raises(NumericError, match="long_conv: v: holds NaN"):
        long_conv(**values, mask_BL=mask, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["z_BDL", "v_BDL"])
def test_float16_is_refused_with_what_can(backend, name):
    values = arguments()
    values[name] = values[name].half()
    with pytest.raises(MachineError) as caught:
        long_conv(**values, backend=backend)
    found = "float16 overflows in power spectra; float32, float64 or bfloat16"
    assert str(caught.value) == f"long_conv: {name[0]}: {found}"


WRONG = {
    "v of another length": ({"v_BDL": torch.randn(2, 4, 9)}, "must be equal"),
    "no batch": ({"z_BDL": torch.randn(4, 8), "v_BDL": torch.randn(4, 8)}, "must be equal"),
    "no positions": ({"z_BDL": torch.randn(2, 4, 0), "v_BDL": torch.randn(2, 4, 0)}, "L >= 1"),
    "static of another length": (
        {"static_CF": torch.randn(4, 8, dtype=torch.complex64)},
        r"\(4 or 2, 5\)",
    ),
    "static of other channels": (
        {"static_CF": torch.randn(3, 5, dtype=torch.complex64)},
        r"\(4 or 2, 5\)",
    ),
    "static for every row": (
        {"static_CF": torch.randn(2, 4, 5, dtype=torch.complex64)},
        r"\(4 or 2, 5\)",
    ),
    "gain of other channels": ({"gain_CF": torch.randn(2, 5, dtype=torch.complex64)}, "with gain"),
    "no gain": ({"gain_CF": None}, "with gain None"),
    "a gain for a static filter": ({"kind": "static"}, "kind 'static' with gain"),
    "an unknown kind": ({"kind": "hyena"}, "'hyena' is not correlation, magnitude or static"),
    "taps of other channels": (
        {"taps_CJ": torch.randn(2, 1, dtype=torch.complex64)},
        r"\(4, side taps\)",
    ),
    "mask of another length": ({"mask_BL": torch.ones(2, 7)}, r"\(2, 8\)"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", WRONG)
def test_wrong_shapes_are_told_with_the_right_ones(backend, case):
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        long_conv(**{**arguments(), **changes}, backend=backend)


def test_odd_channels_have_no_strand_pairs():
    values = arguments(D=5)
    for name in ("static_CF", "gain_CF", "taps_CJ"):
        values[name] = values[name][:2]
    with pytest.raises(ValueError, match="must be"):
        long_conv(**values)


def test_a_card_that_is_too_old_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(MachineError) as caught:
        machine._check_age.__wrapped__(torch.device("cuda"))
    assert str(caught.value) == (
        "backend triton: Tesla T4 has compute capability 7.5, and 8.0 is needed; fft and reference"
        " run here"
    )
