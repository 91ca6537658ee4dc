"""What is asked of measures: quantiles, probabilities, their intervals, tables, rows and pictures."""

import csv
import io
import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from fastpunet.hypotheses import Measures, measure
from fastpunet.hypotheses.intervals import quantile_ranks, wilson


def make(values, unit="mm", empty=None):
    values = torch.as_tensor(values, dtype=torch.float64)
    return Measures(
        {"longest_diameter": values}, {"longest_diameter": unit}, values.isnan() if empty is None else empty
    )


def rows_of_pixels(*lengths):
    """One image's masks (1, n, 1, 12): a row of so many pixels each."""
    return torch.stack([torch.arange(12)[None] < length for length in lengths])[None]


def test_empty_masks_count_as_no_in_probabilities_and_not_at_all_in_quantiles():
    found = measure(rows_of_pixels(0, 0, 2, 4, 6, 8, 10, 0, 0, 0), ["area", "longest_diameter"], spacing=(1, 0.5))
    at_least = found.probability("longest_diameter", ">=", 3)
    assert at_least.probability.tolist() == [0.3]
    assert found.probability("longest_diameter", "<", 3).probability.tolist() == [0.2]
    assert found.probability("area", "<", 3).probability.tolist() == [0.7]  # an empty mask has an area, 0
    assert found.probability("area", "==", 0).probability.tolist() == [0.5]
    assert found.probability("longest_diameter", "<=", 1e300).probability.tolist() == [0.5]
    for name, values in (("area", [1, 3, 5]), ("longest_diameter", [(1 + 0.25) ** 0.5, 3, 5])):
        quantiles = found.quantiles(name, (0, 0.5, 1))
        np.testing.assert_allclose(quantiles.values, [values])
        assert quantiles.empty.tolist() == [0.5]
    quarter = found.quantiles("area", 0.375)
    assert (quarter.q, quarter.values.tolist()) == ((0.375,), [[2.5]])


def test_without_any_lesion_there_are_no_quantiles_and_every_probability_is_zero():
    found = measure(torch.zeros(1, 20, 4, 4, dtype=torch.bool), ["area", "longest_diameter"])
    for name in found.names:
        quantiles = found.quantiles(name)
        assert torch.stack((quantiles.values, quantiles.low, quantiles.high)).isnan().all()
        assert quantiles.empty.tolist() == [1]
    probability = found.probability("longest_diameter", ">=", 0)
    assert (probability.probability.item(), probability.low.item()) == (0, 0)
    assert probability.high.item() == pytest.approx(3.8415 / (20 + 3.8415), rel=1e-4)  # z^2 / (n + z^2)
    assert "100 % of them empty" in str(found)
    assert str(found).splitlines()[-1].split() == ["longest", "diameter", "-", "-"]


def test_nan_of_a_function_is_neither_yes_nor_a_quantile():
    values = torch.tensor([[1.0, math.nan, 3.0, 5.0]])
    found = make(values, empty=torch.zeros(1, 4, dtype=torch.bool))
    assert found.probability("longest_diameter", ">", 2).probability.tolist() == [0.5]
    quantiles = found.quantiles("longest_diameter", 0.5)
    assert (quantiles.values.tolist(), quantiles.empty.tolist()) == ([[3.0]], [0.25])


def test_wilson_intervals_are_the_published_ones():
    """Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    for count, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        ends = wilson(torch.tensor(count), n)
        assert [round(float(end), 4) for end in ends] == [low, high]
    low, high = wilson(torch.tensor([0, 20]), 20)
    assert (low[0], high[1]) == (0, 1)
    torch.testing.assert_close(low[1], 1 - high[0])


@pytest.mark.parametrize("n", [1, 2, 6, 100, 1000])
@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_ranks_are_the_innermost_that_leave_at_most_so_much_outside(n, q):
    low, high = quantile_ranks(n, q, 0.95)
    assert binom.cdf(low - 1, n, q) <= 0.025  # the quantile lies below the value of this rank
    assert binom.cdf(low, n, q) >= 0.025
    assert binom.sf(high - 1, n, q) <= 0.025 + 1e-12
    assert high == 1 or binom.sf(high - 2, n, q) > 0.025 - 1e-12


def test_intervals_are_infinite_where_there_are_too_few_hypotheses():
    found = make([[3.0, 1.0, 2.0]]).quantiles("longest_diameter", (0.5, 0.05))
    assert (found.low.tolist(), found.high.tolist()) == ([[-math.inf, -math.inf]], [[math.inf, 2.0]])
    assert "50 %: 2 [-inf, inf] mm" in str(found)


@pytest.mark.parametrize("n", [100, 1000])
def test_intervals_cover_the_truth_in_95_percent_of_cases(n):
    """Hypotheses are log-normal, a fifth of them empty; the true quantile and probability are known."""
    rng = np.random.default_rng(n)
    values = np.exp(rng.normal(size=(2000, n)))
    values[rng.random((2000, n)) < 0.2] = np.nan
    found = make(values)
    for q, z in ((0.1, -1.2815515655446004), (0.5, 0.0), (0.9, 1.2815515655446004)):
        quantiles = found.quantiles("longest_diameter", q)
        covered = (quantiles.low[:, 0] <= np.exp(z)) & (np.exp(z) <= quantiles.high[:, 0])
        assert 0.93 < covered.double().mean() < 0.98 if n == 100 else 0.93 < covered.double().mean() < 0.97
    for z, above in ((0.0, 0.5), (1.2815515655446004, 0.1), (-1.2815515655446004, 0.9)):
        probability = found.probability("longest_diameter", ">=", float(np.exp(z)))
        truth = 0.8 * above
        covered = (probability.low <= truth) & (truth <= probability.high)
        assert 0.93 < covered.double().mean() < 0.97


def test_sentences():
    found = measure(rows_of_pixels(*[2] * 63, *[8] * 37), ["area", "longest_diameter"], spacing=(1, 1))
    assert str(found.probability("longest_diameter", ">=", 8)) == (
        "probability that the longest diameter is >= 8 mm: 0.37 [0.28, 0.47]"
    )
    assert str(found.quantiles("area", (0.5, 0.95))) == (
        "quantiles of the area at 50 %: 2 [2, 2] mm^2, 95 %: 8 [8, 8] mm^2; 0 % of the hypotheses are empty"
    )
    lines = str(found).splitlines()
    assert lines[0] == "100 hypotheses of one image, 0 % of them empty"
    assert lines[2].split() == ["area", "2", "[2,", "2]", "mm^2", "2", "to", "8", "mm^2"]
    several = measure(torch.cat((rows_of_pixels(2, 4), rows_of_pixels(6, 6))), "area")
    assert str(several.probability("area", ">", 3)).splitlines() == [
        "image 0: probability that the area is > 3 px^2: 0.50 [0.09, 0.91]",
        "image 1: probability that the area is > 3 px^2: 1.00 [0.34, 1.00]",
    ]
    classes = measure(rows_of_pixels(2, 4).long(), "area", num_classes=2)
    assert str(classes.probability("area", ">", 8)).splitlines()[0] == (
        "class 0: probability that the area is > 8 px^2: 0.50 [0.09, 0.91]"
    )
    many = measure(rows_of_pixels(2).expand(60, 1, 1, 12), "area")
    assert str(many).splitlines()[-1] == "and 20 more"


def test_rows_are_what_a_csv_file_needs():
    masks = torch.cat((rows_of_pixels(0, 4), rows_of_pixels(6, 2)))
    found = measure(masks, ["area", "longest_diameter", "number_of_components"], spacing=(1, 1))
    file = io.StringIO()
    writer = csv.DictWriter(file, found.columns())
    writer.writeheader()
    writer.writerows(found.rows())
    assert file.getvalue().splitlines() == [
        "image,hypothesis,area_mm2,longest_diameter_mm,number_of_components",
        "0,0,0.0,nan,0.0",
        "0,1,4.0,4.0,1.0",
        "1,0,6.0,6.0,1.0",
        "1,1,2.0,2.0,1.0",
    ]
    classes = measure(rows_of_pixels(3, 0).long(), "area", num_classes=2)
    assert [tuple(row.values()) for row in classes.rows()] == [(0, 0, 0, 9), (0, 0, 1, 3), (0, 1, 0, 12), (0, 1, 1, 0)]
    assert classes.columns() == ("image", "hypothesis", "class", "area_px2")


def test_pictures_show_shares_quantiles_and_threshold():
    found = measure(rows_of_pixels(0, 0, 2, 2, 2, 8, 8, 8, 8, 8), ["area", "longest_diameter"], spacing=(1, 1))
    (axis,) = found.plot("longest_diameter", threshold=8).axes
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axis.patches[:2]]
    np.testing.assert_allclose(bars, [(2, 0.3), (8, 0.5)])
    assert [line.get_xdata()[0] for line in axis.lines] == [8.0, 8.0]  # median and threshold
    assert axis.get_title(loc="left") == "20 % empty\nP(>= 8 mm) = 0.50 [0.24, 0.76]"
    assert axis.get_xlabel() == "longest diameter (mm)"
    assert len(found.plot().axes) == 2
    page = found._repr_html_()
    assert page.count("<img") == 1
    assert "<td>longest diameter</td><td>8 [2, 8] mm</td>" in page
    assert "20 % of them empty" in page
    classes = measure(rows_of_pixels(3, 0).long(), "area", num_classes=2)
    assert "<img" not in classes._repr_html_()
    assert classes.plot(label=1).axes[0].get_title(loc="left") == "50 % empty"
    nothing = measure(rows_of_pixels(0, 0), "area")
    assert nothing.plot().axes[0].get_title(loc="left") == "100 % empty"
    assert "&gt;= 8 mm: 0.50" in found.probability("longest_diameter", ">=", 8)._repr_html_()
    assert "quantiles of the area" in found.quantiles("area")._repr_html_()


@pytest.mark.parametrize(
    ("error", "message", "ask"),
    [
        (ValueError, "name: got 'volume', expected one of longest_diameter", lambda m: m.probability("volume", ">", 1)),
        (ValueError, "name: got 'volume', expected one of", lambda m: m.quantiles("volume")),
        (ValueError, "relation: got '=>', expected one of >=", lambda m: m.probability("longest_diameter", "=>", 1)),
        (ValueError, "threshold: got nan", lambda m: m.probability("longest_diameter", ">", math.nan)),
        (ValueError, "threshold: got '8 mm'", lambda m: m.probability("longest_diameter", ">", "8 mm")),
        (ValueError, "interval: got 95", lambda m: m.probability("longest_diameter", ">", 1, interval=95)),
        (ValueError, "interval: got 0", lambda m: m.quantiles("longest_diameter", interval=0)),
        (ValueError, "q: got 50", lambda m: m.quantiles("longest_diameter", 50)),
        (ValueError, "q: got (0.5, nan)", lambda m: m.quantiles("longest_diameter", (0.5, math.nan))),
        (ValueError, "q: got ()", lambda m: m.quantiles("longest_diameter", ())),
        (ValueError, "name: got 'volume'", lambda m: m.plot("volume")),
        (IndexError, "image: got 1, expected less than the number of images, 1", lambda m: m.plot(image=1)),
        (ValueError, "label: got 1, expected None", lambda m: m.plot(label=1)),
    ],
)
def test_bad_questions_are_named(error, message, ask):
    with pytest.raises(error) as caught:
        ask(make([[1.0, 2.0]]))
    assert message in str(caught.value)


def test_pictures_of_classes_and_thresholds_are_asked_for_by_name():
    classes = measure(rows_of_pixels(3, 0).long(), ["area", "perimeter"], num_classes=2)
    for arguments, message in (
        ({}, "label: got None"),
        ({"label": 2}, "label: got 2"),
        ({"label": 0, "threshold": 1}, "threshold: got one"),
    ):
        with pytest.raises(ValueError, match=message):
            classes.plot(**arguments)
