import os
import signal
import threading

from accelerate import Accelerator

from coresr_train.signals import Interrupts


def test_a_signal_is_remembered_within_and_left_to_others_outside() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    interrupts = Interrupts(Accelerator(cpu=True))
    with interrupts.heard():
        assert not interrupts.agreed()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.asked
        assert interrupts.agreed()
        os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_outside_the_main_thread_a_run_goes_on_without_listening() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []
    interrupts = Interrupts(Accelerator(cpu=True))

    def work() -> None:
        with interrupts.heard():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
