import threading

import pytest
import torch

from captum_ext import explain
from captum_ext.soundness.model_lock import MODEL_LOCK, SharedLock
from tests.soundness.example_models import conv_net, pictures

WAIT = 5


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_threads_share_it_and_one_alone_waits():
    lock, inside, done = SharedLock(), threading.Barrier(2), threading.Event()

    def share():
        with lock.shared():
            inside.wait(WAIT)

    def alone():
        with lock.alone():
            done.set()

    with lock.shared():
        other = in_thread(share)
        inside.wait(WAIT)
        last = in_thread(alone)
        assert not done.wait(0.02)
    other.join(WAIT)
    last.join(WAIT)
    assert done.is_set()


def test_a_thread_may_take_it_again_in_any_way():
    lock = SharedLock()
    with lock.alone(), lock.shared(), lock.alone():
        pass
    with lock.shared(), lock.alone(), lock.shared():
        pass
    assert lock._owner is None and not lock._sharing and not lock._depth


def test_an_error_gives_it_back():
    lock = SharedLock()
    for way in (lock.alone, lock.shared):
        with pytest.raises(KeyError), way():
            raise KeyError
    assert lock._owner is None and not lock._sharing


@pytest.mark.parametrize(
    "method", ["kernel_shap", "deep_lift", "lrp_epsilon", "ig2", "guided_backprop", "smooth_grad"]
)
def test_two_threads_get_what_one_gets(method):
    model, x, missed = conv_net(), pictures(), []
    settings = {"kernel_shap": {"n_samples": 30}, "ig2": {"n_steps": 3}}.get(method, {})

    def run():
        return explain(model, x, 0, method, generator=3, checks=False, **settings)

    want = run()

    def work():
        try:
            missed.extend(1 for _ in range(3) if not torch.allclose(run(), want, atol=1e-6))
        except Exception as error:
            missed.append(error)

    for thread in [in_thread(work), in_thread(work)]:
        thread.join(60)
    assert missed == []


def test_different_methods_run_side_by_side_on_one_model():
    model, x, missed = conv_net(), pictures(), []
    methods = ("guided_backprop", "saliency", "deep_lift", "image_ig")
    want = {method: explain(model, x, 0, method, checks=False) for method in methods}

    def work(method):
        for _ in range(4):
            if not torch.allclose(explain(model, x, 0, method, checks=False), want[method]):
                missed.append(method)

    threads = [in_thread(lambda method=method: work(method)) for method in methods]
    for thread in threads:
        thread.join(60)
    assert missed == []


def test_the_lock_is_free_after_a_refusal():
    with pytest.raises(ValueError, match="target"):
        explain(conv_net(), pictures(), 99, "deep_lift")
    assert MODEL_LOCK._owner is None and not MODEL_LOCK._sharing
