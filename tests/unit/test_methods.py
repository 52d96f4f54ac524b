"""The losses of the methods: properties that a wrong normalisation or sign would break."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation import attention_transfer, cskd, dist, dkd, locality_guidance, ofa, rkd
from hdkd.distillation.dearkd import DISTILLED, DearKD
from hdkd.distillation.deit_hard import HardDeiT
from hdkd.distillation.deit_soft import SoftDeiT
from hdkd.distillation.fitnet import STAGE, WEIGHT, FitNet
from hdkd.distillation.hdkd import HDKD, feature_loss, kl_divergence
from hdkd.distillation.hdkd_projected import ProjectedHDKD
from hdkd.distillation.label_smoothing import LabelSmoothing
from hdkd.distillation.logit_standardisation import standardised
from hdkd.distillation.method import Pair, Seen, Term, total
from hdkd.distillation.parts import as_tokens, pooled, side_of, spread
from hdkd.distillation.vkd import VkD
from hdkd.models import ImageModel, Output, build
from small import DISTILLATION, SIZES, losses_of

BATCH, CLASSES = 5, 4
LABELS = [0, 1, 2, 3, 0]


def logits(seed: int) -> Tensor:
    return 2 * torch.randn(BATCH, CLASSES, generator=torch.Generator().manual_seed(seed))


def maps(seed: int, channels: tuple[int, ...] = (3, 4, 6)) -> tuple[Tensor, ...]:
    """Maps of three stages, the last of 4×4 positions."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (16, 8, 4)
    return tuple(
        torch.randn(BATCH, count, size, size, generator=generator)
        for count, size in zip(channels, sizes, strict=True)
    )


def output(seed: int) -> Output:
    """What a hybrid student of two heads gives: 16 patches of 6 numbers, two layers."""
    generator = torch.Generator().manual_seed(seed)
    layers = tuple(torch.randn(BATCH, 16, 6, generator=generator) for _ in range(2))
    return Output(logits(seed), logits(seed + 100), maps(seed), layers, layers[-1])


STUDENT, TEACHER = output(1), Output(logits(2), features=maps(2))


def test_the_loss_is_the_sum_of_weighted_terms_and_strength_spares_the_labels():
    terms = {
        "cross_entropy": Term(torch.tensor(1.0), 0.5),
        "kl": Term(torch.tensor(2.0), torch.tensor(0.25)),
        "features": Term(torch.tensor(3.0), 10.0),
    }
    assert total(terms).item() == 0.5 * 1 + 0.25 * 2 + 10 * 3
    assert total(terms, strength=4).item() == 0.5 * 1 + 4 * (0.25 * 2 + 10 * 3)
    terms["second_cross_entropy"] = Term(torch.tensor(1.0), 0.5, labels=True)
    assert total(terms, strength=4).item() == 0.5 * 2 + 4 * (0.25 * 2 + 10 * 3)


# Methods that are another with one thing left out.


def test_soft_deit_is_hdkd_without_its_feature_term():
    without = dataclasses.replace(DISTILLATION, feature_weight=0.0)
    one = losses_of(SoftDeiT(), STUDENT, TEACHER, LABELS)["loss"]
    other = losses_of(HDKD(without), STUDENT, TEACHER, LABELS)["loss"]
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_hard_deit_is_hdkd_with_hard_labels_without_its_feature_term():
    without = dataclasses.replace(DISTILLATION, feature_weight=0.0, targets="hard")
    one = losses_of(HardDeiT(), STUDENT, TEACHER, LABELS)["loss"]
    other = losses_of(HDKD(without), STUDENT, TEACHER, LABELS)["loss"]
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_fitnet_with_an_identity_projector_is_hdkd_with_one_stage_and_alpha_0():
    alone = dataclasses.replace(DISTILLATION, alpha=0.0, feature_weight=WEIGHT)
    one = losses_of(FitNet(nn.Identity()), STUDENT, TEACHER, LABELS)["loss"]
    student, teacher = (
        each._replace(features=each.features[STAGE : STAGE + 1]) for each in (STUDENT, TEACHER)
    )
    other = losses_of(HDKD(alone), student, teacher, LABELS)["loss"]
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_hdkd_with_identity_projectors_is_hdkd():
    identities = nn.ModuleList(nn.Identity() for _ in range(3))
    one = losses_of(ProjectedHDKD(DISTILLATION, identities), STUDENT, TEACHER, LABELS)["loss"]
    other = losses_of(HDKD(DISTILLATION), STUDENT, TEACHER, LABELS)["loss"]
    assert one.item() == other.item()


def test_dkd_with_beta_as_the_kl_divergence_has_it_is_the_kl_divergence():
    student, teacher = logits(3), logits(4)
    for temperature in (1.0, 4.0):
        true = (teacher / temperature).softmax(dim=1)[range(BATCH), LABELS]
        whole = 0.0
        for k in range(BATCH):  # β differs from image to image
            row = slice(k, k + 1)
            labels = torch.tensor(LABELS[row])
            target, others = dkd.parts(student[row], teacher[row], labels, temperature)
            whole += (target + (1 - true[k]) * others).item() / BATCH
        kl = kl_divergence(student, teacher, temperature, "batch").item()
        assert whole == pytest.approx(kl, rel=1e-5)


def test_ofa_with_gamma_1_is_the_kl_divergence_plus_the_teachers_entropy():
    student, teacher = logits(3), logits(4)
    entropy = -(teacher.softmax(1) * teacher.log_softmax(1)).sum(1).mean()
    kl = kl_divergence(student, teacher, 1.0, "batch")
    loss = ofa.ofa_loss(student, teacher, torch.tensor(LABELS), 1.0)
    assert loss.item() == pytest.approx((kl + entropy).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("side", "left"), [(7, 7), (14, 7), (16, 8), (28, 7), (32, 8), (15, 15), (30, 15)]
)
def test_an_exit_of_tokens_merges_squares_of_four_while_there_are(side, left):
    leave = ofa.TokenExit(dim=6, side=side, layers=1, classes=3)
    assert leave.merge(torch.zeros(1, side * side, 6)).shape == (1, left * left, 6)
    assert leave(torch.zeros(1, side * side, 6)).shape == (1, 3)


def test_ofa_with_a_larger_gamma_asks_more_of_the_true_class():
    teacher = torch.log(torch.tensor([[0.6, 0.4]]))
    by_hand = -((1.6**1.5 - 1) * math.log(0.7) + 0.4**1.5 * math.log(0.3))
    student = torch.log(torch.tensor([[0.7, 0.3]]))
    loss = ofa.ofa_loss(student, teacher, torch.tensor([0]), 1.5)
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_locality_guidance_on_maps_is_hdkds_feature_term_with_all_stages_alike():
    students = [pooled(each, 4) for each in STUDENT.features]
    teachers = [pooled(each, 4) for each in TEACHER.features]
    tokens = [as_tokens(each) for each in students]
    loss = locality_guidance.guidance_loss(tokens, TEACHER.features)
    assert loss.item() == pytest.approx(feature_loss(students, teachers, 0.0).item(), rel=1e-6)


# What each does not see.


def test_a_standardised_logit_does_not_see_shift_and_scale():
    values = logits(3)
    assert torch.allclose(standardised(3 * values + 7), standardised(values), atol=1e-5)
    assert standardised(values).std(dim=1).tolist() == pytest.approx([1.0] * BATCH, rel=1e-5)


def test_dist_does_not_see_shift_and_scale_of_probabilities():
    own, taught = logits(3).softmax(1), logits(4).softmax(1)
    expected = dist.anticorrelation(own, taught).item()
    assert dist.anticorrelation(0.5 * own + 0.1, taught).item() == pytest.approx(expected, abs=1e-6)
    assert dist.anticorrelation(-own, own).item() == pytest.approx(2, abs=1e-6)


def test_attention_does_not_see_the_order_and_scale_of_channels():
    values = maps(3)[1]
    attention = attention_transfer.of_maps(values, 4)
    mixed = attention_transfer.of_maps(3 * values[:, [2, 0, 3, 1]], 4)
    assert torch.allclose(mixed, attention, atol=1e-6)
    assert attention.norm(dim=1).tolist() == pytest.approx([1.0] * BATCH, rel=1e-6)


def test_attention_of_tokens_is_that_of_the_map_that_they_are():
    values = maps(3)[2]
    attention = attention_transfer.of_maps(values, 4)
    assert torch.allclose(attention_transfer.of_tokens(as_tokens(values)), attention, atol=1e-6)


def test_relations_do_not_see_rotation_shift_and_scale():
    features = torch.randn(BATCH, 6, generator=torch.Generator().manual_seed(3))
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(4))).Q
    moved = 3 * features @ rotation + 5
    assert torch.allclose(rkd.distances(moved), rkd.distances(features), atol=1e-5)
    assert torch.allclose(rkd.angles(moved), rkd.angles(features), atol=1e-5)


def test_distances_have_a_mean_of_1_and_angles_are_cosines():
    corner = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    distances = rkd.distances(corner)
    assert rkd.distances(corner[:1]).tolist() == [[0]], "a single image has no distances"
    assert distances[0].tolist() == pytest.approx([0, 3 / 4, 1])  # 3, 4 and 5 have the mean 4
    assert rkd.angles(corner)[0, 1, 2].item() == pytest.approx(0, abs=1e-6)
    assert rkd.angles(corner)[1, 0, 2].item() == pytest.approx(3 / 5, rel=1e-6)


# What is zero where student and teacher agree.


def test_terms_vanish_where_the_student_is_its_teacher():
    same = TEACHER._replace(
        distillation_logits=TEACHER.logits, layers=STUDENT.layers, patches=STUDENT.patches
    )
    every = torch.tensor(LABELS)
    for values in (
        losses_of(SoftDeiT(), same, TEACHER, LABELS)["kl"],
        losses_of(HDKD(DISTILLATION), same, TEACHER, LABELS)["features"],
        *dkd.parts(TEACHER.logits, TEACHER.logits, every, 4.0),
        dist.anticorrelation(TEACHER.logits.softmax(1), TEACHER.logits.softmax(1)),
        losses_of(attention_transfer.AttentionTransfer(), same, TEACHER, LABELS)["features"],
        kl_divergence(standardised(TEACHER.logits), standardised(TEACHER.logits), 1.0, "batch"),
        locality_guidance.guidance_loss(
            [as_tokens(pooled(each, 4)) for each in TEACHER.features], TEACHER.features
        ),
    ):
        assert values.item() == pytest.approx(0, abs=1e-6)


def test_relations_vanish_between_patches_and_the_places_that_they_are():
    same = STUDENT._replace(patches=as_tokens(TEACHER.features[-1]))
    terms = losses_of(rkd.RKD(), same, TEACHER, LABELS)
    assert terms["distances"].item() == pytest.approx(0, abs=1e-6)
    assert terms["angles"].item() == pytest.approx(0, abs=1e-6)


def test_vkd_vanishes_where_patches_are_the_teachers_features_turned():
    torch.manual_seed(0)
    method = VkD(6, 6)
    taught = TEACHER.features[-1].mean(dim=(2, 3))
    turned = F.layer_norm(taught, taught.shape[1:]) @ method.projection.weight
    same = STUDENT._replace(patches=turned[:, None].expand(-1, 16, -1).detach())
    same = same._replace(distillation_logits=TEACHER.logits)
    terms = losses_of(method, same, TEACHER, LABELS)
    assert terms["features"].item() == pytest.approx(0, abs=1e-6)
    assert terms["kl"].item() == pytest.approx(0, abs=1e-6)


def test_label_smoothing_is_that_of_torch():
    loss = losses_of(LabelSmoothing(), STUDENT, None, LABELS)["loss"]
    expected = F.cross_entropy(STUDENT.logits, torch.tensor(LABELS), label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


# What changes in the course of the training.


class Linear(ImageModel):
    """A teacher or student of which only the classifying of places is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, CLASSES)

    def classify(self, vectors: Tensor) -> Tensor:
        return self.head(vectors)


def test_the_mean_of_the_teachers_answers_at_its_places_is_its_answer():
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES).eval()
    output = teacher(torch.randn(3, 1, 16, 16))
    places = teacher.classify(as_tokens(output.features[-1]))
    assert torch.allclose(places.mean(dim=1), output.logits, atol=1e-5)


def test_patches_are_taught_their_places_first_and_the_whole_image_at_last():
    places = torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    whole = places.mean(dim=1)
    first, last = (cskd.dense_targets(places, whole, torch.tensor(p)) for p in (0.0, 1.0))
    assert first.tolist() == [[0, 1]]
    assert last.tolist() == [[0, 0]]


def test_cskd_has_a_term_for_every_patch():
    network = Linear()
    method = cskd.CSKD()
    teacher = Seen(network, TEACHER)
    terms = method(Seen(network, STUDENT), teacher, torch.tensor(LABELS), torch.tensor(1.0))
    dense = network.classify(STUDENT.patches)
    by_hand = [F.cross_entropy(dense[:, k], TEACHER.logits.argmax(1)) for k in range(16)]
    assert terms["patches"].value.item() == pytest.approx(sum(by_hand).item() / 16, rel=1e-6)


def test_dkd_warms_up():
    terms = [
        dkd.DKD()(Seen(ImageModel(), STUDENT), Seen(ImageModel(), TEACHER), *given)
        for given in (
            (torch.tensor(LABELS), torch.tensor(0.0)),
            (torch.tensor(LABELS), torch.tensor(dkd.WARMUP / 2)),
            (torch.tensor(LABELS), torch.tensor(0.5)),
        )
    ]
    assert [each["others_kl"].weight.item() for each in terms] == pytest.approx([0, 4, 8])


def test_dearkd_is_hdkd_until_the_labels_teach_alone():
    during = losses_of(DearKD(DISTILLATION), STUDENT, TEACHER, LABELS, DISTILLED - 0.01)["loss"]
    hdkd = losses_of(HDKD(DISTILLATION), STUDENT, TEACHER, LABELS)["loss"]
    assert during.item() == pytest.approx(hdkd.item(), rel=1e-6)
    after = losses_of(DearKD(DISTILLATION), STUDENT, TEACHER, LABELS, DISTILLED)["loss"]
    labels = torch.tensor(LABELS)
    both = [F.cross_entropy(each, labels) for each in (STUDENT.logits, STUDENT.distillation_logits)]
    assert after.item() == pytest.approx((sum(both) / 2).item(), rel=1e-6)


# Parts.


def test_exits_have_the_published_number_of_parameters():
    """At the paper's size, without their classifiers: 203, 120 and 90 thousand."""
    sizes = [
        sum(p.numel() for p in ofa.MapExit(channels, halvings, 256, 4).parameters()) - (256 + 1) * 4
        for channels, halvings in ((64, 3), (96, 2), (192, 1))
    ]
    assert [round(size / 1000) for size in sizes] == [203, 120, 90]


def test_a_projector_reaches_signed_maps():
    torch.manual_seed(0)
    method = FitNet.of(Pair(STUDENT, TEACHER, DISTILLATION))
    assert (method.projector(STUDENT.features[STAGE]) < 0).any()


@pytest.mark.parametrize(("dim", "channels"), [(12, 5), (5, 12), (6, 6)])
def test_vkds_projection_stays_orthogonal_while_it_learns(dim, channels):
    torch.manual_seed(0)
    method = VkD(dim, channels)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1, weight_decay=1.0)
    before = method.projection.weight.detach().clone()
    method.projection(torch.randn(3, dim)).sum().backward()
    optimizer.step()
    weight = method.projection.weight
    product = weight @ weight.T if channels < dim else weight.T @ weight
    assert torch.allclose(product, torch.eye(min(dim, channels)), atol=1e-5)
    assert not torch.allclose(weight, before, atol=1e-4)


def test_places_are_pooled_and_laid_out_row_by_row():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert pooled(image, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert as_tokens(image)[0, :, 0].tolist() == list(range(16))
    assert side_of(as_tokens(image)) == 4


def test_three_layers_are_spread_over_the_depth():
    names = [f"L{k}" for k in range(12)]
    assert spread(names) == ["L0", "L6", "L11"]
    assert spread(names[:3]) == ["L0", "L1", "L2"]
    assert spread(names[:1]) == ["L0"] * 3
