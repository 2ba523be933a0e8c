"""Scores of a classifier by hand, and what is said of them."""

import numpy as np
import pytest

from toolkit.training.class_scoring import class_scores, compare_classes, confusion_of


def test_scores_of_two_classes_by_hand():
    scores = class_scores(np.array([[90, 10], [2, 8]]), ("fine", "worn"), "fine")
    assert scores.accuracy == pytest.approx(98 / 110)
    assert scores.balanced_accuracy == pytest.approx((0.9 + 0.8) / 2)
    assert scores.f1 == {"fine": pytest.approx(180 / 192), "worn": pytest.approx(16 / 28)}
    assert scores.macro_f1 == pytest.approx((180 / 192 + 16 / 28) / 2)
    assert scores.false_alarm_rate == pytest.approx(0.1)
    assert scores.missed_rate == pytest.approx(0.2)
    assert scores.confusion == ((90, 10), (2, 8))


def test_the_commonest_of_two_classes_is_the_normal_one():
    scores = class_scores(np.array([[8, 2], [10, 90]]), ("alarm", "usual"), "usual")
    assert (scores.false_alarm_rate, scores.missed_rate) == (pytest.approx(0.1), pytest.approx(0.2))


def test_a_class_that_does_not_occur_counts_in_no_mean():
    scores = class_scores(np.array([[5, 5, 0], [0, 10, 0], [0, 0, 0]]), ("a", "b", "c"), "a")
    assert scores.f1["c"] is None
    assert scores.balanced_accuracy == pytest.approx(0.75)
    assert scores.macro_f1 == pytest.approx((10 / 15 + 20 / 25) / 2)
    assert (scores.false_alarm_rate, scores.missed_rate) == (None, None)
    assert class_scores(np.array([[5, 0], [0, 0]]), ("a", "b"), "a").missed_rate is None


def test_a_confusion_matrix_counts_true_by_told():
    told, true = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1])
    assert confusion_of(told, true, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("confusion", "verdict"),
    [
        (
            [[90, 5], [1, 4]],
            "beats the commonest class by 37.4 points in balanced accuracy; "
            "loses to the commonest class by 1.0 points in accuracy: a mixed result, to be weighed",
        ),
        (
            [[94, 1], [1, 4]],
            "beats the commonest class by 39.5 points in balanced accuracy and by 3.0 points in accuracy",
        ),
        (
            [[90, 5], [5, 0]],
            "loses to the commonest class by 2.6 points in balanced accuracy and by 5.0 points in accuracy: "
            "do not deploy this",
        ),
        ([[95, 0], [5, 0]], "loses to the commonest class by 0.0 points in balanced accuracy and by 0.0 points in"),
        ([[95, 5], [0, 0]], "was shown windows of 'fine' alone, which tells nothing of the others: do not deploy this"),
    ],
)
def test_the_verdict_says_what_it_is_worth(confusion, verdict):
    found = compare_classes(np.array(confusion), ("fine", "worn"), "fine").verdict
    assert found.startswith(verdict)
    assert ("do not deploy" in found) == ("do not deploy" in verdict or "0.0 points" in verdict)


def test_the_commonest_class_is_always_told():
    comparison = compare_classes(np.array([[6, 4], [3, 7]]), ("fine", "worn"), "worn")
    assert comparison.commonest.confusion == ((0, 10), (0, 10))
    assert (comparison.commonest.accuracy, comparison.commonest.balanced_accuracy) == (0.5, 0.5)
