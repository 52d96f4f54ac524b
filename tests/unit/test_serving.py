"""What MLflow's server answers, without the server."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hdkd.deploy.predict import PRETRAINED, Classifier
from hdkd.deploy.serving import ServedClassifier
from hdkd.errors import DataError


@pytest.fixture(scope="module")
def served() -> ServedClassifier:
    served = ServedClassifier()
    served.classifier = Classifier.load(PRETRAINED / "ham10000")
    return served


def encoded(image: Image.Image, kind: str = "PNG") -> str:
    content = io.BytesIO()
    image.save(content, kind)
    return base64.b64encode(content.getvalue()).decode()


def picture(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_it_answers_as_the_classifier_does(served, tmp_path):
    images = [picture(seed) for seed in range(3)]
    answer = served.predict(None, pd.DataFrame({"image": [encoded(each) for each in images]}))
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    expected = served.classifier.probabilities([tmp_path / f"{k}.png" for k in range(3)])
    assert np.allclose(answer.filter(like="p_").to_numpy(), expected, atol=1e-9)
    assert answer["class"].tolist() == [served.classifier.classes[k] for k in expected.argmax(1)]


def test_no_image_has_no_answer(served):
    assert served.predict(None, pd.DataFrame({"image": []})).empty


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ("é", "the column image must hold files encoded in base64"),
        (encoded(picture(), "EPS"), "image 1: not an image in one of the formats BMP, GIF"),
        (base64.b64encode(bytes(33 * 2**20)).decode(), "image 1: more than 32 MiB"),
        (encoded(Image.new("1", (12_000, 12_000))), "image 1: 12000×12000 pixels, more than the"),
    ],
    ids=["no base64", "another program's format", "large", "many pixels"],
)
def test_what_the_page_refuses_is_refused(served, sent, sentence):
    with pytest.raises(DataError) as error:
        served.predict(None, pd.DataFrame({"image": [sent]}))
    assert str(error.value).startswith(sentence)
