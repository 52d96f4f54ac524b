"""A model behind HTTP: what it answers, what it refuses, and how much of it at once."""

import io
import json
import socket
import threading
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image

from hdkd import cli
from hdkd.config import Images
from hdkd.data.prepare import decode
from hdkd.deploy.familiarity import Familiarity
from hdkd.deploy.predict import PRETRAINED
from hdkd.deploy.web import uploads
from hdkd.errors import DataError
from hdkd.runs.folder import RunFolder
from serving import Server, encoded, photograph, serving

MODEL = PRETRAINED / "brain_tumor"
MEBIBYTE = 2**20
USERS, IMAGES_EACH = 50, 6


@pytest.fixture(scope="module")
def server() -> Server:
    with serving(MODEL) as started:
        yield started


def classify(server: Server, content: bytes, **query) -> requests.Response:
    return requests.post(f"{server.url}/api/classify", content, params=query, timeout=60)


class TestAnAnswer:
    def test_is_what_predict_prints(self, server, tmp_path, capsys):
        path = tmp_path / "image.png"
        photograph().save(path)
        assert cli.main(["predict", "--json", str(path)]) == 0
        printed = json.loads(capsys.readouterr().out)
        answer = classify(server, path.read_bytes()).json()
        assert answer["class"] == printed["class"]
        assert answer["probabilities"] == pytest.approx(printed["probabilities"], abs=2e-6)

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000"])
    def test_comes_for_every_format(self, server, kind):
        assert classify(server, encoded(photograph(), kind)).status_code == 200

    def test_shows_what_the_network_saw_and_where_it_responded_if_asked(self, server):
        content = encoded(photograph())
        assert classify(server, content).json()["details"] is None
        details = classify(server, content, details="true").json()["details"]
        seen = Image.open(
            io.BytesIO(b64decode(details["seen"].removeprefix("data:image/png;base64,")))
        )
        expected = decode(io.BytesIO(content), Images(size=48, colour="grey")).pixels[0]
        assert np.array_equal(np.asarray(seen), expected)
        stage = np.array(details["stage"])
        assert stage.shape == (6, 6)  # 48 pixels, of which the stem and the stages keep an eighth
        assert (stage.min(), stage.max()) == (0, 1)

    def test_is_not_kept_by_browsers(self, server):
        assert classify(server, encoded(photograph())).headers["cache-control"] == "no-store"


class TestAnImageUnlikeTheTrainingImages:
    def test_is_said_to_be(self, server):
        assert classify(server, encoded(photograph())).json()["unlike_training"] is True

    def test_is_further_from_their_mean_than_the_threshold(self):
        generator = np.random.default_rng(0)
        mixed = generator.normal(size=(3, 3))
        training = generator.normal(size=(5000, 3)) @ mixed + [1, 2, 3]
        validation = generator.normal(size=(2000, 3)) @ mixed + [1, 2, 3]
        found = Familiarity.fit(training, validation)
        # The square that 1 % of normal vectors in three dimensions exceed.
        assert found.threshold == pytest.approx(11.34, rel=0.1)
        assert np.mean(found.distances(validation) > found.threshold) == pytest.approx(0.01)
        by_hand = [
            (row - [1, 2, 3]) @ np.linalg.inv(mixed.T @ mixed) @ (row - [1, 2, 3])
            for row in validation[:9]
        ]
        assert found.distances(validation[:9]) == pytest.approx(by_hand, rel=0.2)

    def test_is_not_known_where_no_export_has_measured_it(self, study):
        with serving("run") as run:
            answer = classify(run, encoded(photograph())).json()
            about = requests.get(f"{run.url}/api/model", timeout=60).json()
        assert answer["unlike_training"] is None
        assert (about["accuracy"], about["unlike_alarms"], about["calibrated"]) == (
            None,
            None,
            False,
        )

    def test_has_a_threshold_of_the_validation_images_where_there_are_some(self, study):
        found = RunFolder(Path("exported")).exported.unfamiliar
        assert (found.part, found.images) == ("validation", 12)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "empty"),
            (b"no image", "not an image in one of the formats"),
            (encoded(photograph())[:500], "not a complete image"),
            (
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                "not an image in one of the formats",
            ),
        ],
        ids=["nothing", "text", "cut off", "a format that another program would read"],
    )
    def test_is_said_in_a_sentence(self, server, content, reason):
        answer = classify(server, content)
        assert answer.status_code == 422
        assert reason in answer.json()["detail"]

    def test_is_an_image_of_too_many_pixels_before_it_is_decoded(self, server):
        bomb = encoded(Image.new("1", (12_000, 12_000)))
        assert len(bomb) < MEBIBYTE
        answer = classify(server, bomb)
        assert answer.status_code == 422
        assert "more than the 64 million pixels" in answer.json()["detail"]

    def test_is_a_file_that_is_too_large_by_what_it_says_of_itself(self, server):
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as asking:
            asking.sendall(
                b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 99999999999\r\n\r\n"
            )
            assert asking.recv(100).startswith(b"HTTP/1.1 413")

    def test_is_a_file_that_is_too_large_by_what_comes(self, server):
        def endless():
            for _ in range(40):
                yield bytes(MEBIBYTE)

        try:
            status = requests.post(f"{server.url}/api/classify", endless(), timeout=60).status_code
        except requests.ConnectionError:  # the answer came before the end of the file
            status = 413
        assert status == 413
        assert classify(server, encoded(photograph())).status_code == 200

    def test_is_a_page_of_somebody_else_that_points_its_name_here(self, server):
        headers = {"Host": "elsewhere.example"}
        assert requests.get(server.url, headers=headers, timeout=60).status_code == 400

    def test_is_an_animation(self):
        frames = [photograph(seed=k) for k in range(3)]
        content = io.BytesIO()
        frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match="3 frames instead of one"):
            uploads.decoded(content.getvalue(), Images(size=48, colour="grey"))


class TestThePage:
    def test_takes_nothing_from_elsewhere(self, server):
        answer = requests.get(server.url, timeout=60)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "http" not in answer.text

    def test_has_the_limit_that_the_program_has(self, server):
        script = requests.get(f"{server.url}/page.js", timeout=60).text
        assert "const LIMIT = 32 * 2 ** 20;" in script
        assert uploads.LIMIT == 32 * 2**20

    def test_has_the_card_and_the_terms_of_the_weights(self, server):
        card = requests.get(f"{server.url}/api/card", timeout=60).text
        assert "<h1>HDKD for Brain Tumor MRI</h1>" in card
        assert "<table>" in card
        terms = requests.get(f"{server.url}/LICENSE", timeout=60)
        assert terms.text == (MODEL / "LICENSE").read_text()
        assert requests.get(f"{server.url}/params.json", timeout=60).status_code == 404

    def test_knows_of_the_model_what_its_card_says(self, server):
        about = requests.get(f"{server.url}/api/model", timeout=60).json()
        summary = RunFolder(MODEL).exported
        assert about["accuracy"] == summary.final.accuracy
        assert about["accuracy_interval"] == list(summary.interval)
        assert about["unlike_alarms"] == summary.unfamiliar.alarms / summary.test_images
        assert about["warning"].startswith("Not for clinical use")


def test_the_interface_is_described(server):
    described = requests.get(f"{server.url}/openapi.json", timeout=60).json()
    assert set(described["paths"]) == {"/api/model", "/api/card", "/api/classify"}
    body = described["paths"]["/api/classify"]["post"]["requestBody"]["content"]
    assert body == {"image/*": {"schema": {"type": "string", "format": "binary"}}}
    answer = described["components"]["schemas"]["Answer"]
    assert set(answer["required"]) >= {"class", "probabilities", "unlike_training"}


def test_fifty_users_at_once_all_get_their_own_answers_in_bounded_memory(server):
    images = [encoded(photograph((600, 500), seed)) for seed in range(USERS)]
    alone = [classify(server, image).json() for image in images]
    process = psutil.Process(server.process.pid)
    before, largest, ended = process.memory_info().rss, 0, threading.Event()

    def watch():
        nonlocal largest
        while not ended.wait(0.02):
            largest = max(largest, process.memory_info().rss)

    def ask(user: int) -> list[dict]:
        return [classify(server, images[user]).json() for _ in range(IMAGES_EACH)]

    threading.Thread(target=watch, daemon=True).start()
    started = time.monotonic()
    with ThreadPoolExecutor(USERS) as users:
        answers = list(users.map(ask, range(USERS)))
    seconds = time.monotonic() - started
    ended.set()
    print(
        f"{USERS * IMAGES_EACH / seconds:.0f} images a second, "
        f"{(largest - before) / MEBIBYTE:.0f} MiB more"
    )
    assert answers == [[one] * IMAGES_EACH for one in alone]
    assert largest - before < 200 * MEBIBYTE


class TestTheCommand:
    def test_ends_without_an_error_when_it_is_interrupted(self):
        with serving(MODEL) as started:
            pass
        assert started.process.returncode == 0

    def test_says_in_a_sentence_that_a_port_is_taken(self, server, capsys):
        port = server.url.rpartition(":")[2]
        assert cli.main(["serve", "--port", port]) == 2
        assert capsys.readouterr().err == (
            f"error: 127.0.0.1, port {port} cannot be had (Address already in use): choose others "
            "with --host and --port\n"
        )

    def test_says_that_there_is_no_such_model(self, capsys):
        assert cli.main(["serve", "--model", "nothing"]) == 2
        assert "nothing is neither a run folder nor a model" in capsys.readouterr().err
