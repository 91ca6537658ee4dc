"""What the service answers: the hypotheses of `fastpunet sample`, in every form, whoever else asks."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import fastapi  # noqa: F401  # the extra `serve`
import numpy as np
import pytest
import torch
from helpers.page_case import read_case
from helpers.serving import in_thread
from matplotlib.path import Path as Line

import fastpunet
from fastpunet import PackedMasks
from fastpunet.cli import main
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.request import Request
from fastpunet.prediction.run import run
from fastpunet.serving.limits import Limits
from fastpunet.serving.outlines import outlines
from fastpunet.serving.running import Manner
from fastpunet.serving.served import open_served

Image = pytest.importorskip("PIL.Image")
N = 60


def png(number):
    """A synthetic lesion of 64 x 64 pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray((SyntheticLesions(number + 1, seed=2)[number].image[0] * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def models():
    return open_served(["lesions", "lidc-tiny"], Request(), "cpu")


@pytest.fixture(scope="module")
def client(models):
    with in_thread(models, Manner(workers=2, limits=Limits(mebibytes=1, pixels=128 * 128, n=500, labels=10**6))) as one:
        yield one


@pytest.fixture(scope="module")
def answer(client):
    """JSON about the first lesion, whose file is called case.png."""
    return client.post("sample", png(0), n=N, seed=3, name="case.png").json


def loaded(reply):
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == "application/x-npz"
    return dict(np.load(io.BytesIO(reply.body), allow_pickle=False))


def test_answers_are_those_of_the_command(client, answer, tmp_path):
    file = tmp_path / "case.png"
    file.write_bytes(png(0))
    run("lesions", [file], tmp_path / "out", Request(n=N, seed=3, modes=0), device="cpu")
    written = json.loads((tmp_path / "out" / "case" / "answer.json").read_text())
    shared = [key for key in written if key not in ("files", "model", "written", "modes")]
    assert len(shared) > 8
    assert {key: answer[key] for key in shared} == {key: written[key] for key in shared}
    assert answer["model"] == written["model"]
    assert [{**mode, "outlines": None} for mode in answer["modes"]] == [
        {**mode, "outlines": None} for mode in written["modes"]
    ]
    assert answer["files"] == ["case.png"]
    table = client.post("sample", png(0), n=N, seed=3, name="case.png", output="measures")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    columns = [line.split(",") for line in table.body.decode().splitlines()]
    own = [line.split(",") for line in (tmp_path / "out" / "case" / "measures.csv").read_text().splitlines()]
    assert columns == [[cell for place, cell in enumerate(row) if place != 1] for row in own]  # its column of modes


def test_bits_are_those_of_the_sampler(client, models):
    image = torch.from_numpy(np.asarray(Image.open(io.BytesIO(png(0)))) / np.float32(255))[None, None]
    sampler = models["lesions"].opened.sampler
    for asked, id in (({"name": "case.png"}, id_of("case")), ({"id": 7}, 7)):
        found = loaded(client.post("sample", png(0), n=N, seed=3, output="bits", **asked))
        expected = sampler.sample(image, N, seed=3, ids=torch.tensor([id]), output="bits")
        assert torch.equal(torch.from_numpy(found["words"])[None], expected.words)
        assert tuple(found["size"]) == expected.size
        about = json.loads(str(found["about"]))
        assert (about["id"], about["request"]["seed"], about["model"]["source"]) == (id, 3, "lesions")


def test_maps_are_means_over_the_hypotheses(client, models):
    image = torch.from_numpy(np.asarray(Image.open(io.BytesIO(png(1)))) / np.float32(255))[None, None]
    found = loaded(client.post("sample", png(1), n=N, seed=1, id=4, output="maps"))
    expected = fastpunet.summarize(models["lesions"].opened.method, image, N, seed=1, ids=torch.tensor([4]))
    np.testing.assert_array_equal(found["mean"], expected.mean[0].numpy())
    np.testing.assert_array_equal(found["entropy"], expected.entropy[0].numpy())


def test_outlines_enclose_the_pixels_of_their_mode(client, answer):
    bits = loaded(client.post("sample", png(0), n=N, seed=3, name="case.png", output="bits"))
    labels = PackedMasks(torch.from_numpy(bits["words"])[None], tuple(bits["size"].tolist())).unpack()[0].numpy()
    assert len(answer["modes"]) > 1
    for mode in answer["modes"]:
        assert np.array_equal(filled(mode["outlines"], (64, 64)), labels[mode["hypothesis"]])


def filled(lines, size):
    """The pixels whose centres lie inside an odd number of outlines."""
    rows, columns = np.indices(size)
    centres = np.stack([rows.ravel(), columns.ravel()], axis=1)
    count = sum(
        (Line(one["points"]).contains_points(centres).reshape(size).astype(int) for one in lines), np.zeros(size)
    )
    return (count % 2).astype(np.uint8)


def test_outlines_of_holes_corners_and_classes():
    random = np.random.default_rng(0).integers(0, 2, (16, 16), np.uint8)
    assert np.array_equal(filled(outlines(random), (16, 16)), random)
    volume = np.zeros((2, 3, 3), np.uint8)
    volume[1, 1, 1] = 2
    (line,) = outlines(volume)
    assert (line["label"], line["slice"], line["points"][0]) == (2, 1, line["points"][-1])


def test_a_page_is_about_the_same_hypotheses(client):
    reply = client.post("report", png(0), n=N, seed=3, name="case.png")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    case = read_case(reply.body.decode())
    assert (case["title"], case["source"], case["hypotheses"]["n"]) == ("case", "case.png", N)
    assert case["made"]["command"] == "fastpunet serve lesions"
    other = read_case(client.post("report", png(0), n=N, seed=3, id=9).body.decode())
    same = read_case(client.post("report", png(0), n=N, seed=3, id=id_of("case")).body.decode())
    assert same["hypotheses"] == case["hypotheses"] != other["hypotheses"]


def test_arrays_volumes_and_options(client):
    file = io.BytesIO()
    np.save(file, np.asarray(Image.open(io.BytesIO(png(0)))))
    as_array = client.post("sample", file.getvalue(), n=N, name="case.npy").json
    as_picture = client.post("sample", png(0), n=N, name="case.png").json
    assert as_array["modes"] == as_picture["modes"]
    wider = client.post("sample", png(0), n=N, intensity="range:0:510", spacing="0.5").json["image"]
    assert (wider["spacing_mm"], wider["intensity"]) == ([0.5, 0.5], "range:0.0:510.0")
    two = client.post("sample", png(0), n=N, name="case.png", modes=2).json
    assert len(as_picture["modes"]) != 2 == len(two["modes"])
    colours = io.BytesIO()
    Image.new("RGB", (64, 64)).save(colours, "PNG")
    assert "pass convert=true" in client.post("sample", colours.getvalue(), n=N).error
    assert client.post("sample", colours.getvalue(), n=N, convert="true").status == 200


def test_answers_do_not_depend_on_who_else_asks(client):
    calls = [
        ("sample", number % 3, {"n": 40 + number % 5, "seed": number % 4, "id": number, "output": output})
        for number, output in enumerate(["answer", "bits", "maps", "measures"] * 6)
    ]
    calls += [("report", number, {"n": 30}) for number in range(2)]

    def ask(call):
        endpoint, number, asked = call
        return client.post(endpoint, png(number), model=("lesions", "lidc-tiny")[number % 2], **asked)

    alone = [ask(call) for call in calls]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(ask, calls))
    assert {reply.status for reply in alone} == {200}
    assert [reply.body for reply in together] == [reply.body for reply in alone]


def test_models_and_metrics(client, models):
    found = client.get("/models").json
    assert [one["name"] for one in found["models"]] == ["lesions", "lidc-tiny"]
    assert found["models"][0]["sha256"] == models["lesions"].opened.about["model"]["sha256"]
    assert found["limits"]["n"] == 500
    drawn = client.metric('fastpunet_hypotheses_total{model="lesions"}')
    asked = client.metric('fastpunet_requests_total{endpoint="/models/{model}/sample",status="200"}')
    client.post("sample", png(0), n=17)
    assert client.metric('fastpunet_hypotheses_total{model="lesions"}') == drawn + 17
    assert client.metric('fastpunet_requests_total{endpoint="/models/{model}/sample",status="200"}') == asked + 1
    assert client.metric('fastpunet_request_seconds_count{endpoint="/models/{model}/sample"}') >= asked + 1
    assert client.get("/health/live").json == {"live": True}
    assert client.get("/health/ready").json == {"ready": True}
    for path in ("/", "/health/live", "/health/ready"):
        head = client.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
    paths = client.get("/openapi.json").json["paths"]
    assert "requestBody" in paths["/models/{model}/sample"]["post"]
    assert all(one["description"] for one in paths["/models/{model}/sample"]["post"]["parameters"][1:])


def test_windows_are_those_of_the_service():
    models = open_served(["lesions"], Request(window=32), "cpu")
    one = models["lesions"]
    assert one.about(Request(n=5, window=32))["request"]["window"] == 32
    assert type(one.opened.sampler.method) is not type(one.opened.method)
    with pytest.raises(ValueError, match="model: got two of the name lesions"):
        open_served(["lesions", "lesions"], replace(Request(), n=1), "cpu")


@pytest.mark.parametrize(("given", "window"), [((), None), (("32",), 32), (("32", "48"), (32, 48))])
def test_the_command_passes_windows_on(monkeypatch, given, window):
    asked = []
    monkeypatch.setattr("fastpunet.serving.running.serve", lambda *given: asked.append(given[2].request))
    threads = torch.get_num_threads()
    assert main(["serve", "lesions", *(("--window", *given) if given else ())]) == 0
    torch.set_num_threads(threads)
    assert asked[0].window == window
