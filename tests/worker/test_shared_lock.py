"""A lock that many may hold together, or one alone."""

from __future__ import annotations

import threading

from worker.shared_lock import SharedLock

SECONDS = 30


def test_many_share_it_at_the_same_time() -> None:
    lock, met = SharedLock(), threading.Barrier(3)

    def share() -> None:
        with lock.shared():
            met.wait(SECONDS)

    threads = [threading.Thread(target=share, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_who_wants_it_alone_waits_for_those_who_share_and_goes_before_those_who_come_later() -> None:
    lock, order = SharedLock(), []
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.shared():
            holding.set()
            let_go.wait(SECONDS)
            order.append("first")

    def alone() -> None:
        with lock.alone():
            order.append("alone")

    def later() -> None:
        with lock.shared():
            order.append("later")

    threads = [threading.Thread(target=hold, daemon=True)]
    threads[0].start()
    assert holding.wait(SECONDS)
    threads.append(threading.Thread(target=alone, daemon=True))
    threads[1].start()
    while not lock._wanted_alone:
        threads[1].join(0.01)
    threads.append(threading.Thread(target=later, daemon=True))
    threads[2].start()
    threads[2].join(0.2)
    assert order == []
    let_go.set()
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["first", "alone", "later"]
