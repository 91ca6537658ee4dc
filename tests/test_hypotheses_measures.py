"""Measures of masks: against plain loops over pixels on random masks, and against shapes of known size."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from scipy.spatial.distance import cdist

from fastpunet.hypotheses import measure
from fastpunet.hypotheses.measures import MEASURES, Measure, applicable, measuring, one_by_one
from fastpunet.masks import PackedMasks

DIAMETERS = ["longest_diameter", "perpendicular_diameter"]


def measured(masks, what=None, **options):
    """Values of one image's masks (n, *size) as arrays."""
    result = measure(torch.as_tensor(np.asarray(masks))[None], what, **options)
    return {name: values[0].numpy() for name, values in result.values.items()}


def outline(mask, spacing):
    """All points half a pixel above, below, left and right of the pixels of a mask (H, W), in mm."""
    steps = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
    return (np.argwhere(mask)[:, None] + steps).reshape(-1, 2) * spacing


def plain_diameters(mask, spacing):
    """By all pairs of points of the outline."""
    if not mask.any():
        return math.nan, math.nan
    points = outline(mask, spacing)
    distances = cdist(points, points)
    longest = distances.max()
    perpendicular = []
    for a, b in np.argwhere(distances > longest * (1 - 1e-9)):
        down, across = (points[b] - points[a]) / longest
        perpendicular.append(np.ptp(points @ (-across, down)))
    return longest, max(perpendicular)


def directions(dims):
    """Unit vectors in all directions, evenly or at random: (n, dims)."""
    if dims == 2:
        angles = (np.arange(20_000) + 0.5) / 20_000 * 2 * np.pi
        return np.stack((np.sin(angles), np.cos(angles)), 1)
    random = np.random.default_rng(0).normal(size=(400_000, 3))
    return random / np.linalg.norm(random, axis=1, keepdims=True)


def plain_shares(spacing):
    """The steps to neighbours, and the share of directions that are nearest to each, by trying many."""
    steps = np.array([step for step in product((-1, 0, 1), repeat=len(spacing)) if step > (0,) * len(spacing)])
    units = steps * spacing / np.linalg.norm(steps * spacing, axis=1, keepdims=True)
    tried = directions(len(spacing))
    return steps, units, np.bincount(np.abs(tried @ units.T).argmax(1), minlength=len(steps)) / len(tried)


def plain_boundary(mask, spacing, steps, shares):
    """Crofton's formula by looking from every pixel to its neighbours."""
    inside = {tuple(pixel) for pixel in np.argwhere(mask)}
    total = 0.0
    for step, share in zip(steps, shares, strict=True):
        crossings = sum(
            (tuple(np.add(pixel, np.multiply(sign, step))) not in inside) for pixel in inside for sign in (1, -1)
        )
        apart = np.prod(spacing) / np.linalg.norm(np.multiply(step, spacing))
        total += share * crossings * apart / 2
    return total * (np.pi if mask.ndim == 2 else 4)


def random_masks(size, seed=0):
    """Masks of all densities, and an empty one, a full one, one of one pixel, one of one row, one of one column."""
    rng = np.random.default_rng(seed)
    masks = [rng.random(size) < density for density in (0.02, 0.1, 0.3, 0.7, 0.95) for _ in range(4)]
    masks += [ndimage.binary_opening(rng.random(size) < 0.8) for _ in range(4)]
    special = np.zeros((5, *size), bool)
    special[1] = True
    special[2][tuple(length // 2 for length in size)] = True
    special[3][(*(length // 3 for length in size[:-1]), slice(1, -1))] = True
    special[4][..., 1:-1, size[-1] // 2] = True
    return np.concatenate((masks, special))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 0.7), (2.5, 0.6), (0.3, 1.9)])
@pytest.mark.parametrize("size", [(7, 9), (12, 5), (1, 6), (6, 1)])
def test_diameters_are_those_of_all_pairs_of_points_of_the_outline(size, spacing):
    masks = random_masks(size)
    found = measured(masks, DIAMETERS, spacing=spacing)
    expected = np.array([plain_diameters(mask, spacing) for mask in masks])
    np.testing.assert_allclose(found["longest_diameter"], expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found["perpendicular_diameter"], expected[:, 1], rtol=1e-9)


def test_diameters_of_volumes_are_the_largest_of_any_slice():
    spacing = (5.0, 0.8, 1.1)
    masks = random_masks((4, 6, 5))
    found = measured(masks, DIAMETERS, spacing=spacing)
    for k, mask in enumerate(masks):
        by_slice = np.array([plain_diameters(plane, spacing[1:]) for plane in mask if plane.any()]).reshape(-1, 2)
        longest = by_slice[:, 0].max(initial=-np.inf)
        if not len(by_slice):
            assert np.isnan([found[name][k] for name in DIAMETERS]).all()
            continue
        assert found["longest_diameter"][k] == pytest.approx(longest, rel=1e-12)
        across = by_slice[by_slice[:, 0] > longest * (1 - 1e-9), 1].max()
        assert found["perpendicular_diameter"][k] == pytest.approx(across, rel=1e-9)


def test_diameters_by_hand():
    masks = np.zeros((5, 6, 8), bool)
    masks[0, 2, 3] = True  # a pixel
    masks[1, 2, 1:5] = True  # a row of 4 pixels
    masks[2, 1:5, 2] = True  # a column of 4 pixels
    masks[3, 1:4, 1:5] = True  # 3 x 4 pixels: from (1, 0.5) to (3, 4.5)
    masks[4, 0, 0] = masks[4, 4, 3] = True  # two pixels: from (-0.5, 0) to (4.5, 3)
    found = measured(masks, DIAMETERS)
    np.testing.assert_allclose(found["longest_diameter"], [1, 4, 4, 20**0.5, 34**0.5])
    # Across (2, 4) / sqrt(20) the centres reach from (3, 1) to (1, 4), that is 14 / sqrt(20); the outline adds
    # 4 / sqrt(20). Across (5, 3) / sqrt(34) the centres are 3 / sqrt(34) apart, and the outline adds 5 / sqrt(34).
    expected = [1, 1, 1, (2 * 4 + 3 * 2 + 4) / 20**0.5, (5 * 3 - 3 * 4 + 5) / 34**0.5]
    np.testing.assert_allclose(found["perpendicular_diameter"], expected)
    wide = measured(masks[:3], DIAMETERS, spacing=(2.0, 0.5))
    np.testing.assert_allclose(wide["longest_diameter"], [2, 2.5, 8])
    # The row reaches from (-1, 0) to (1, 1.5). Across (2, 1.5) / 2.5 its centres are 1.2 apart; the outline adds 1.2.
    np.testing.assert_allclose(wide["perpendicular_diameter"], [0.5, 2.4, 0.5])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.5, 0.6), (1.2, 0.7, 0.7), (3.0, 1.0, 0.5)])
def test_boundaries_are_those_of_lines_walked_one_by_one(spacing):
    name = "perimeter" if len(spacing) == 2 else "surface_area"
    masks = random_masks((5, 6) if len(spacing) == 2 else (3, 5, 4))
    steps, _, shares = plain_shares(spacing)
    expected = [plain_boundary(mask, spacing, steps, shares) for mask in masks]
    rtol = 1e-4 if len(spacing) == 2 else 5e-3  # the plain shares are frequencies
    np.testing.assert_allclose(measured(masks, name, spacing=spacing)[name], expected, rtol=rtol)


def test_perimeters_are_those_of_scikit_image():
    """`perimeter_crofton(mask, directions=4)` of scikit-image 0.26 for these masks, padded by one pixel."""
    y, x = np.mgrid[:32, :32]
    ellipse = ((y - 15.3) / 7) ** 2 + ((x - 16.1) / 11) ** 2 < 1
    box, pixel = np.zeros((2, 32, 32), bool)
    box[4:9, 3:20] = True
    pixel[0, 0] = True
    found = measured([ellipse, box, pixel], "perimeter")["perimeter"]
    np.testing.assert_allclose(found, [57.15307298033752, 40.603895020075285, 2.681517061334488], rtol=1e-12)


@pytest.mark.parametrize("size", [(9, 11), (4, 5, 6)])
def test_components_centroids_and_areas_are_those_of_scipy_one_by_one(size):
    dims, masks = len(size), random_masks(size)
    spacing = (3.0, 0.7, 1.3)[-dims:]
    content = "area" if dims == 2 else "volume"
    names = [content, "number_of_components", "centroid_row", "centroid_column", *["centroid_slice"] * (dims == 3)]
    found = measured(masks, names, spacing=spacing)
    for k, mask in enumerate(masks):
        assert found[content][k] == pytest.approx(sum(1 for pixel in mask.flat if pixel) * np.prod(spacing))
        assert found["number_of_components"][k] == ndimage.label(mask, np.ones((3,) * dims))[1]
        centre = np.multiply(ndimage.center_of_mass(mask), spacing) if mask.any() else np.full(dims, np.nan)
        axes = ("centroid_slice", "centroid_row", "centroid_column")[-dims:]
        np.testing.assert_allclose([found[axis][k] for axis in axes], centre)


@pytest.mark.parametrize("size", [(9, 11), (4, 5, 6)])
def test_distances_are_the_smallest_of_all_pairs_of_pixels(size):
    masks, structures = random_masks(size), random_masks(size, seed=1)[[0, 5, 22]]
    spacing = (3.0, 0.7, 1.3)[-len(size) :]
    stacked = torch.from_numpy(np.stack([masks] * 3))
    found = measure(stacked, "distance_to_structure", spacing=spacing, structure=torch.from_numpy(structures))
    for i, structure in enumerate(structures):
        to = np.argwhere(structure) * spacing
        expected = [cdist(np.argwhere(mask) * spacing, to).min() if mask.any() else np.nan for mask in masks]
        np.testing.assert_allclose(found.values["distance_to_structure"][i], expected)
    shared = measure(stacked, "distance_to_structure", structure=torch.from_numpy(structures[1]).long())
    alone = measure(stacked[:1], "distance_to_structure", structure=torch.from_numpy(structures[1]))
    for i in range(3):
        np.testing.assert_array_equal(
            shared.values["distance_to_structure"][i], alone.values["distance_to_structure"][0]
        )


def test_empty_masks_have_no_size_and_no_place():
    for size in ((4, 5), (2, 4, 5)):
        found = measured(np.zeros((2, *size), bool), structure=torch.ones(size, dtype=torch.bool))
        zero = {"area", "volume", "perimeter", "surface_area", "number_of_components"}
        assert found.keys() == set(applicable(len(size), structure=True))
        for name, values in found.items():
            np.testing.assert_array_equal(values, [0 if name in zero else np.nan] * 2)


def ellipsoid(size, spacing, radii, turn=0.0):
    """A digital phantom: pixels whose centres are within an ellipse (ellipsoid), turned in the last two axes."""
    axes = [(np.arange(n) - n / 2 + 0.3) * s for n, s in zip(size, spacing, strict=True)]
    *others, y, x = np.meshgrid(*axes, indexing="ij")
    y, x = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    return sum((place / radius) ** 2 for place, radius in zip((*others, y, x), radii, strict=True)) < 1


def crofton_of_ellipsoid(radii, spacing, turn=0.0):
    """Its true boundary, and what Crofton's formula makes of it with the directions of neighbours, by integration.

    A point of the ellipsoid is a point u of the unit sphere times the radii. Its normal is along u / radii, and the
    ellipsoid's boundary there is that of the sphere times prod(radii) |u / radii|.
    """
    dims = len(radii)
    across = directions(dims) / radii
    stretch = np.linalg.norm(across, axis=1, keepdims=True)
    normals = across / stretch
    y, x = normals[:, -2].copy(), normals[:, -1].copy()
    normals[:, -2], normals[:, -1] = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    _, units, shares = plain_shares(spacing)
    seen = np.abs(normals @ units.T) @ shares * (np.pi / 2 if dims == 2 else 2)
    boundary = (2 if dims == 2 else 4) * np.pi * np.prod(radii) * stretch[:, 0]
    return boundary.mean(), (boundary * seen).mean()


@pytest.mark.parametrize(
    ("spacing", "radii"),
    [((1, 1, 1), (14, 14, 14)), ((2.5, 0.7, 0.7), (18, 18, 18)), ((2.0, 0.8, 0.6), (20, 15, 12))],
)
def test_volumes_of_phantoms_are_right_to_one_percent(spacing, radii):
    size = [int(2 * radius / step) + 4 for radius, step in zip(radii, spacing, strict=True)]
    found = measured([ellipsoid(size, spacing, radii)], spacing=spacing)
    assert found["volume"][0] == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.01)
    surface, by_crofton = crofton_of_ellipsoid(radii, spacing)
    assert found["surface_area"][0] == pytest.approx(by_crofton, rel=0.01)
    assert by_crofton == pytest.approx(surface, rel=0.003 if len(set(radii)) == 1 else 0.05)
    assert 0 < found["longest_diameter"][0] - 2 * max(radii[1:]) < max(spacing[1:])


@pytest.mark.parametrize("turn", np.linspace(0, np.pi, 9))
def test_discs_and_ellipses_have_their_known_sizes(turn):
    for radii, spacing in product([(20, 20), (9, 22), (5, 17)], [(1, 1), (0.5, 0.8)]):
        mask = ellipsoid((100, 100), spacing, radii, turn)
        found = {name: values[0] for name, values in measured([mask], spacing=spacing).items()}
        perimeter, by_crofton = crofton_of_ellipsoid(radii, spacing, turn)
        assert by_crofton == pytest.approx(perimeter, rel=0.05)
        # The border crosses about perimeter / spacing pixels; how much of each is counted is as good as random.
        assert abs(found["area"] - np.pi * np.prod(radii)) < 2 * np.sqrt(perimeter * max(spacing)) * max(spacing)
        assert found["perimeter"] == pytest.approx(by_crofton, rel=0.015)
        # The outline is right to half a pixel at either end; the direction of the perpendicular may be a little off.
        assert abs(found["longest_diameter"] - 2 * max(radii)) < max(spacing)
        assert abs(found["perpendicular_diameter"] - 2 * min(radii)) < 1.5 * max(spacing)


def test_boxes_have_their_known_sizes():
    box = np.zeros((1, 20, 30), bool)
    box[0, 3:12, 4:23] = True
    found = measured(box, spacing=(0.5, 2.0))
    assert found["area"][0] == 9 * 19 * 0.5 * 2
    assert (found["centroid_row"][0], found["centroid_column"][0]) == (7 * 0.5, 13 * 2.0)
    assert found["longest_diameter"][0] == pytest.approx(np.hypot(8 * 0.5, 19 * 2.0))


small_masks = arrays.arrays(bool, st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 6)))
lengths = st.floats(0.1, 10)


@settings(max_examples=60, deadline=None)
@given(small_masks, lengths, lengths, st.integers(0, 3), st.integers(0, 3))
def test_moving_a_mask_moves_its_centroid_alone(masks, height, width, down, right):
    moved = np.pad(masks, ((0, 0), (down, 3 - down), (right, 3 - right)))
    first, second = (measured(some, spacing=(height, width)) for some in (masks, moved))
    first["centroid_row"] += down * height
    first["centroid_column"] += right * width
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-9, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(small_masks, lengths, lengths)
def test_turning_an_image_swaps_its_axes_alone(masks, height, width):
    first = measured(masks, spacing=(height, width))
    first["centroid_row"], first["centroid_column"] = first["centroid_column"], first["centroid_row"]
    second = measured(masks.swapaxes(1, 2), spacing=(width, height))
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-9, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(small_masks, lengths, lengths)
def test_mirroring_an_image_changes_no_size(masks, height, width):
    first, second = (measured(some, spacing=(height, width)) for some in (masks, masks[:, ::-1].copy()))
    for name in first.keys() - {"centroid_row"}:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-9, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(small_masks, lengths, lengths, lengths)
def test_measures_scale_with_the_spacing(masks, height, width, factor):
    first = measured(masks, spacing=(height, width))
    second = measured(masks, spacing=(height * factor, width * factor))
    powers = {"": 0, "mm": 1, "mm^2": 2}
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values * factor ** powers[MEASURES[name].unit], rtol=1e-9)


def test_packed_masks_classes_and_parts_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 4, (2, 9, 6, 7)))
    labels[labels == 3] = 0  # of the last class all masks are empty
    structure = labels[0, 0] == 2
    found = measure(labels, num_classes=4, spacing=[(1, 2), (0.5, 0.7)], structure=structure)
    assert found.empty.shape == (2, 9, 4)
    assert found.empty[..., 3].all()
    for label in range(4):
        for image, spacing in enumerate([(1, 2), (0.5, 0.7)]):
            alone = measure(labels[image : image + 1] == label, spacing=spacing, structure=structure)
            for name in applicable(2, structure=True):
                torch.testing.assert_close(
                    found.values[name][image, :, label], alone.values[name][0], equal_nan=True, rtol=0, atol=0
                )
    monkeypatch.setattr(measuring, "_PIXELS", 3 * 6 * 7 + 5)
    packed = measure(PackedMasks.pack(labels, 4), spacing=[(1, 2), (0.5, 0.7)], structure=structure)
    for name, values in found.values.items():
        torch.testing.assert_close(packed.values[name], values, equal_nan=True, rtol=0, atol=0)


def test_functions_of_many_masks_and_of_one_agree_and_keep_their_names():
    masks = torch.from_numpy(random_masks((5, 6)))[None]
    dose = np.random.default_rng(0).random((5, 6))

    def mean_dose(some):
        with np.errstate(invalid="ignore"):
            return (some * dose).sum((1, 2)) / some.sum((1, 2))

    def dose_of_one(mask):
        return dose[mask].mean() if mask.any() else np.nan

    found = measure(
        masks, ["area", mean_dose, one_by_one(dose_of_one), Measure("d", lambda some, _: mean_dose(some), "Gy")]
    )
    assert found.names == ("area", "mean_dose", "dose_of_one", "d")
    assert found.units == {"area": "px^2", "mean_dose": "", "dose_of_one": "", "d": "Gy"}
    expected = [dose[mask].mean() if mask.any() else np.nan for mask in masks[0].numpy()]
    for name in found.names[1:]:
        np.testing.assert_allclose(found.values[name][0], expected)


def test_units_say_whether_lengths_are_in_mm_or_in_pixels():
    masks = torch.ones(1, 1, 4, 4)
    names = ["area", "perimeter", "number_of_components"]
    for options, length in (({}, "px"), ({"spacing": (2, 2)}, "mm"), ({"spacing": (2, 2), "unit": "px"}, "px")):
        found = measure(masks.bool(), names, **options)
        assert found.units == {"area": f"{length}^2", "perimeter": length, "number_of_components": ""}
        assert found.values["area"].item() == (64 if length == "mm" else 16)
    volumes = measure(masks[None].bool(), ["volume", "surface_area"], spacing=torch.tensor([3, 2, 2]), unit="mm")
    assert volumes.units == {"volume": "mm^3", "surface_area": "mm^2"}
    assert volumes.values["volume"].item() == 16 * 12


BINARY = torch.ones(2, 3, 4, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "spacing: got None, expected mm", {"unit": "mm"}),
        (ValueError, "unit: got 'cm', expected one of mm, px", {"unit": "cm"}),
        (ValueError, "spacing: got (1, 1, 1), expected 2 positive", {"spacing": (1, 1, 1)}),
        (ValueError, "spacing: got (1, 0), expected 2 positive", {"spacing": (1, 0)}),
        (ValueError, "spacing: got (1, nan), expected 2 positive", {"spacing": (1, math.nan)}),
        (TypeError, "spacing: got 'mm', expected 2 positive", {"spacing": "mm"}),
        (ValueError, "what: got 'volume', which images of two dimensions do not have", {"what": "volume"}),
        (ValueError, "what: got 'size', expected some of area, volume", {"what": ["area", "size"]}),
        (ValueError, "what: got 'area' twice", {"what": ["area", "area"]}),
        (ValueError, "what: got no measure", {"what": []}),
        (TypeError, "what: got 3, expected names", {"what": [3]}),
        (ValueError, "what: got a function without a name, <lambda>", {"what": lambda m: m.sum((1, 2))}),
        (ValueError, "what: got 'distance_to_structure' without structure=", {"what": "distance_to_structure"}),
        (ValueError, "what: max returned shape () for masks (3, 4, 5), expected (3,)", {"what": np.max}),
        (ValueError, "structure: got shape (4, 4), expected (4, 5) or (2, 4, 5)", {"structure": BINARY[0, 0, :, :4]}),
        (
            ValueError,
            "structure: got an empty mask for image 1",
            {"structure": BINARY[:, 0] & BINARY[:, 0].cumsum(0).eq(1)},
        ),
        (ValueError, "structure: got labels 2 .. 2", {"structure": 2 * BINARY[0, 0].long()}),
        (TypeError, "structure: got dtype torch.float32", {"structure": BINARY[0, 0].float()}),
        (ValueError, "masks: got labels 2 .. 2, expected 0 .. 1", {"masks": 2 * BINARY.long()}),
        (TypeError, "masks: got dtype torch.float32", {"masks": BINARY.float()}),
        (ValueError, "masks: got 0 masks in shape (2, 0, 4, 5)", {"masks": BINARY[:, :0]}),
        (ValueError, "masks: got PackedMasks of 3 planes", {"masks": PackedMasks.pack(BINARY, 3), "num_classes": 4}),
        (ValueError, "num_classes: got 1, expected a whole number of at least 2", {"num_classes": 1}),
    ],
)
def test_bad_input_is_named(error, message, arguments):
    with pytest.raises(error) as caught:
        measure(**{"masks": BINARY, **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def plain_3d_diameter(mask, spacing):
    """By all pairs of points of the outline, half a voxel from the centres."""
    steps = np.concatenate((np.eye(3), -np.eye(3))) / 2
    points = (np.argwhere(mask)[:, None] + steps).reshape(-1, 3) * spacing
    return cdist(points, points).max() if len(points) else math.nan


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.8)])
def test_3d_diameters_are_those_of_all_pairs_of_points_of_the_outline(spacing):
    rng = np.random.default_rng(0)
    masks = [rng.random((5, 6, 7)) < share for share in (0.01, 0.05, 0.2, 0.6, 1.0)]
    grid = np.indices((5, 6, 7))
    masks += [
        grid[0] == 2,
        grid[2] == 6,
        (grid[0] == 1) & (grid[1] == 3),
        grid[1] == grid[2],
        np.zeros((5, 6, 7), bool),
    ]
    found = measured(masks, "maximum_3d_diameter", spacing=spacing)["maximum_3d_diameter"]
    np.testing.assert_allclose(found, [plain_3d_diameter(mask, spacing) for mask in masks], rtol=1e-9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
@pytest.mark.parametrize("radii", [(12.0, 12.0, 12.0), (14.0, 6.0, 9.0)])
def test_3d_diameters_of_balls_and_ellipsoids_are_twice_the_longest_radius(spacing, radii):
    """The ellipsoid is longest across the slices, where no diameter within a slice sees it."""
    sides = [int(2 * radius / step) + 6 for radius, step in zip(radii, spacing, strict=True)]
    place = (np.stack(np.indices(sides), -1) - (np.array(sides) - 1) / 2) * spacing
    mask = ((place / radii) ** 2).sum(-1) <= 1
    found = measured(mask[None], ["volume", "longest_diameter", "maximum_3d_diameter"], spacing=spacing)
    assert abs(found["maximum_3d_diameter"][0] - 2 * max(radii)) < max(spacing)
    assert found["volume"][0] == pytest.approx(4 / 3 * math.pi * np.prod(radii), rel=0.01)
    if radii[0] > radii[1]:
        assert found["longest_diameter"][0] < found["maximum_3d_diameter"][0] - 5


def test_masks_of_volumes_alone_have_a_3d_diameter():
    assert "maximum_3d_diameter" in applicable(3)
    assert "maximum_3d_diameter" not in applicable(2)
