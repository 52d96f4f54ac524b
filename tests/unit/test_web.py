"""A model behind HTTP: what it answers, what it refuses, and how much of it at once."""

import asyncio
import io
import json
import shutil
import socket
import struct
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from hypothesis import given, settings, strategies
from PIL import Image

from hdkd import cli
from hdkd.config import Images
from hdkd.data.prepare import decode
from hdkd.deploy.familiarity import FILE, Familiarity
from hdkd.deploy.predict import PRETRAINED, Classifier
from hdkd.deploy.web import uploads
from hdkd.deploy.web.answers import _html
from hdkd.deploy.web.budget import Budget
from hdkd.errors import DataError
from hdkd.runs.folder import RunFolder
from web_server import Server, encoded, photograph, serving

MODEL = PRETRAINED / "brain_tumor"
MEBIBYTE = 2**20
USERS, IMAGES_EACH = 50, 6
ELSEWHERE = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@pytest.fixture(scope="module")
def server() -> Server:
    with serving(MODEL) as started:
        yield started


def broken_tiff() -> bytes:
    """A TIFF whose second directory says nothing, not even how large its image is."""
    content = bytearray(encoded(photograph(), "TIFF"))
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * entries, len(content))
    return bytes(content) + bytes(6)


def at_once(work, items) -> list:
    with ThreadPoolExecutor(USERS) as users:
        return list(users.map(work, items))


@contextmanager
def watched(server: Server) -> Iterator[list[float]]:
    """The most MiB that the server has more than before, in a list of one."""
    process, ended = psutil.Process(server.process.pid), threading.Event()
    before, most = process.memory_info().rss, [0.0]

    def watch() -> None:
        while not ended.wait(0.01):
            most[0] = max(most[0], (process.memory_info().rss - before) / MEBIBYTE)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        ended.set()
        watching.join()


def half_sent(server: Server, length: int) -> socket.socket:
    """A connection on which a file of so many bytes has begun to come."""
    asking = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    asking.sendall(head.encode() + b"abc")
    return asking


def status(server: Server, **headers: str) -> int:
    return requests.get(server.url, headers=headers, timeout=60).status_code


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
        images = Classifier.load(MODEL).images
        expected = decode(io.BytesIO(content), images).pixels.transpose(1, 2, 0)
        assert np.array_equal(np.asarray(seen), expected)
        stage = np.array(details["stage"])
        assert stage.shape == (images.size // 8,) * 2  # what the stem and the stages keep
        assert (stage.min(), stage.max()) == (0, 1)

    def test_is_not_kept_by_browsers(self, server):
        assert classify(server, encoded(photograph())).headers["cache-control"] == "no-store"


class TestAnImageUnlikeTheTrainingImages:
    def test_is_said_to_be(self, server):
        assert classify(server, encoded(photograph())).json()["unlike_training"] is True

    def test_is_further_from_their_mean_than_the_threshold(self):
        generator = np.random.default_rng(0)
        mixed, mean = generator.normal(size=(3, 3)), np.array([1, 2, 3])
        training, validation = (
            generator.normal(size=(count, 3)) @ mixed + mean for count in (5000, 1999)
        )
        found = Familiarity.fit(training, validation)
        # The square that 1 % of normal vectors in three dimensions exceed.
        assert found.threshold == pytest.approx(11.34, rel=0.1)
        assert found.is_unlike(validation).sum() == 19
        precision = np.linalg.inv(mixed.T @ mixed)
        by_hand = [(row - mean) @ precision @ (row - mean) for row in validation[:9]]
        assert found.distances(validation[:9]) == pytest.approx(by_hand, rel=0.2)

    def test_is_further_than_all_of_a_few_images_that_set_the_threshold(self):
        training = np.random.default_rng(0).normal(size=(500, 3))
        found = Familiarity.fit(training, training[:12])
        assert found.threshold == found.distances(training[:12]).max()

    def test_is_not_known_where_no_export_has_measured_it(self, study):
        with serving("run") as run:
            answer = classify(run, encoded(photograph())).json()
            about = requests.get(f"{run.url}/api/model", timeout=60).json()
        assert answer["unlike_training"] is None
        assert (about["accuracy"], about["unlike_alarms"]) == (None, None)
        assert about["calibrated"] is False
        assert about["title"] == "Student alone for Phantom (synthetic) (generated images)"

    def test_has_a_threshold_of_the_validation_images_where_there_are_some(self, study):
        found = RunFolder(Path("exported")).exported.unfamiliar
        assert (found.part, found.images, found.beyond) == ("validation", 12, 0)

    def test_cannot_be_told_from_a_damaged_file(self, tmp_path, capsys):
        shutil.copytree(MODEL, tmp_path / "model")
        (tmp_path / "model" / FILE).write_bytes(b"")
        assert cli.main(["serve", "--model", str(tmp_path / "model")]) == 2
        assert f"{FILE} is damaged" in capsys.readouterr().err


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "the file is empty"),
            (b"no image", "not an image in one of the formats"),
            (encoded(photograph())[:500], "not a complete image"),
            (broken_tiff(), "not a complete image"),
            (ELSEWHERE, "not an image in one of the formats"),
        ],
        ids=["nothing", "text", "cut off", "a broken directory", "a format of another program"],
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
        assert "12000×12000 pixels, more than the 50 million" in answer.json()["detail"]

    def test_is_a_file_that_is_too_large(self, server):
        with half_sent(server, uploads.LIMIT + 1) as asking:
            assert asking.recv(100).startswith(b"HTTP/1.1 413")

    def test_is_a_file_without_a_length(self, server):
        def piecewise():
            yield encoded(photograph())

        answer = requests.post(f"{server.url}/api/classify", piecewise(), timeout=60)
        assert answer.status_code == 411

    def test_is_a_file_of_another_length_than_it_says(self, server):
        head = (
            f"POST /api/classify HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as asking:
            asking.sendall(head.encode())
            assert asking.recv(100).startswith(b"HTTP/1.1 411")

    def test_is_a_parameter_that_is_none_of_its_values(self, server):
        answer = classify(server, encoded(photograph()), details="perhaps")
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("details: ")

    def test_is_a_page_of_somebody_else_that_points_its_name_here(self, server):
        assert status(server, Host="elsewhere.example") == 400
        assert status(server, Host=f"[::1]:{server.port}") == 200

    def test_is_an_animation(self):
        frames = [photograph(seed=k) for k in range(3)]
        content = io.BytesIO()
        frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match="several frames instead of one"):
            uploads.decoded(content.getvalue(), Images(size=48, colour="grey"))

    @pytest.mark.filterwarnings("ignore::Warning:PIL")
    @settings(max_examples=200, deadline=None)
    @given(data=strategies.data(), kind=strategies.sampled_from(["PNG", "TIFF", "JPEG", "GIF"]))
    def test_is_whatever_else_a_damaged_file_makes_of_a_decoder(self, data, kind):
        content = bytearray(encoded(photograph((24, 16)), kind))
        for _ in range(data.draw(strategies.integers(1, 5))):
            place = data.draw(strategies.integers(0, min(len(content), 400) - 1))
            content[place] = data.draw(strategies.integers(0, 255))
        with suppress(DataError):
            uploads.decoded(bytes(content), Images(size=16, colour="grey"))


class TestManyUsers:
    def test_fifty_at_once_get_the_answers_that_each_would_get_alone(self, server):
        images = [encoded(photograph((600, 500), seed)) for seed in range(USERS)]
        alone = [classify(server, image).json() for image in images]

        def ask(user: int) -> list[dict]:
            return [classify(server, images[user]).json() for _ in range(IMAGES_EACH)]

        with watched(server) as memory:
            started = time.monotonic()
            answers = at_once(ask, range(USERS))
            seconds = time.monotonic() - started
        print(f"{USERS * IMAGES_EACH / seconds:.0f} images a second, {memory[0]:.0f} MiB more")
        assert answers == [[one] * IMAGES_EACH for one in alone]
        assert memory[0] < 200

    def test_large_images_take_turns(self, server):
        """Each takes some 350 MiB while it is decoded."""
        deep = encoded(Image.fromarray(np.zeros((5000, 8000), dtype=np.uint16)))
        with watched(server) as memory:
            answers = at_once(lambda _: classify(server, deep).status_code, range(6))
        assert answers == [200] * 6
        assert memory[0] < 800

    def test_clients_that_are_slow_keep_nobody_waiting(self, server):
        with ExitStack() as slow:
            for _ in range(20):
                slow.enter_context(half_sent(server, 1000))
            started = time.monotonic()
            assert classify(server, encoded(photograph())).status_code == 200
            assert time.monotonic() - started < 20

    def test_more_bytes_than_fit_wait_for_those_before_them(self):
        async def holding(budget: Budget, count: int, order: list[int]) -> None:
            async with budget.reserved(count, patience=10):
                order.append(count)
                await asyncio.sleep(0.05)

        async def all_of_them() -> list[int]:
            budget, order = Budget(10), []
            await asyncio.gather(*(holding(budget, count, order) for count in (7, 9, 3)))
            assert budget.bytes_left == 10
            return order

        assert asyncio.run(all_of_them()) == [7, 3, 9]

    def test_room_that_does_not_come_ends_in_an_error(self):
        async def too_much() -> None:
            budget = Budget(10)
            async with budget.reserved(8, 10):
                with pytest.raises(TimeoutError):
                    await budget.reserved(3, 0.05).__aenter__()
                async with budget.reserved(2, 1):
                    assert budget.bytes_left == 0

        asyncio.run(too_much())


class TestThePage:
    def test_takes_nothing_from_elsewhere(self, server):
        answer = requests.get(server.url, timeout=60)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "http" not in answer.text

    def test_has_the_card_and_the_terms_of_the_weights(self, server):
        card = requests.get(f"{server.url}/api/card", timeout=60).text
        assert "<h3>HDKD for Brain Tumor MRI</h3>" in card
        assert "<table>" in card
        terms = requests.get(f"{server.url}/LICENSE", timeout=60)
        assert terms.text == (MODEL / "LICENSE").read_text()
        assert requests.get(f"{server.url}/params.json", timeout=60).status_code == 404

    def test_cannot_be_changed_by_what_a_card_says(self):
        assert _html("# A\n<script>alert(1)</script>") == (
            "<h3>A</h3>\n<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"
        )

    def test_knows_of_the_model_what_its_card_says(self, server):
        about = requests.get(f"{server.url}/api/model", timeout=60).json()
        summary = RunFolder(MODEL).exported
        assert about["accuracy"]["share"] == summary.final.accuracy
        assert about["accuracy"]["interval"] == pytest.approx(summary.interval)
        assert about["accuracy_without_copies"]["share"] == summary.without_leaks.accuracy
        alarms = summary.unfamiliar.test
        assert about["unlike_alarms"]["share"] == alarms.alarms / alarms.images
        assert about["bytes_limit"] == uploads.LIMIT
        assert about["warning"] == "Not for clinical use. A research model."

    def test_answers_whoever_asks_only_whether_it_is_there(self, server):
        assert requests.head(server.url, timeout=60).status_code == 200


def test_the_interface_is_described(server):
    described = requests.get(f"{server.url}/openapi.json", timeout=60).json()
    assert set(described["paths"]) == {"/api/model", "/api/card", "/api/classify"}
    body = described["paths"]["/api/classify"]["post"]["requestBody"]["content"]
    file = {"schema": {"type": "string", "format": "binary"}}
    assert body == {"image/*": file, "application/octet-stream": file}
    answer = described["components"]["schemas"]["Answer"]
    assert set(answer["required"]) >= {"class", "probabilities", "unlike_training"}


class TestTheCommand:
    def test_ends_without_an_error_when_it_is_interrupted(self):
        with serving(MODEL) as started:
            pass
        assert started.process.returncode == 0

    def test_ends_while_somebody_sends_an_image(self, tmp_path):
        with ExitStack() as kept, serving(MODEL, errors=tmp_path / "errors") as started:
            kept.enter_context(half_sent(started, 1000))
            assert status(started) == 200
            interrupted = time.monotonic()
        assert time.monotonic() - interrupted < 15
        assert started.process.returncode == 0

    def test_says_nothing_of_people_who_leave_before_their_image_has_come(self, tmp_path):
        with serving(MODEL, errors=tmp_path / "errors") as started:
            half_sent(started, 1000).close()
            assert classify(started, encoded(photograph())).status_code == 200
        assert (tmp_path / "errors").read_text() == ""

    def test_warns_of_an_address_that_others_reach(self):
        with serving(MODEL, "--host", "0.0.0.0") as started:
            assert "without a password" in started.process.stdout.readline()
            assert status(Server(f"http://127.0.0.1:{started.port}", started.process)) == 200

    def test_says_in_a_sentence_that_a_port_is_taken(self, server, capsys):
        port = str(server.port)
        assert cli.main(["serve", "--port", port]) == 2
        assert capsys.readouterr().err == (
            f"error: 127.0.0.1, port {port} cannot be had (Address already in use): choose others "
            "with --host and --port\n"
        )

    def test_says_that_there_is_no_such_model(self, capsys):
        assert cli.main(["serve", "--model", "nothing"]) == 2
        assert "nothing is neither a run folder nor a model" in capsys.readouterr().err
