import os
from dataclasses import replace
from pathlib import Path

import pytest
from accelerate import Accelerator

from coresr_train.folder import BusyError, FolderError, claimed
from coresr_train.presets import quick_x2
from coresr_train.settings import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return replace(quick_x2(), out=str(tmp_path / "run"))


def test_another_program_finds_it_taken_while_the_block_lasts(run: Run) -> None:
    accelerator = Accelerator(cpu=True)
    with claimed(run, "quick", accelerator) as out:
        owner, other = os.getpid(), os.fork()
        if not other:
            code = 1
            try:
                with claimed(run, "quick", accelerator):
                    code = 0
            except BusyError as error:
                code = error.exit_code if f"process {owner} of" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 75
    with claimed(replace(run, resume="latest"), "quick", accelerator) as again:
        assert again == out


def test_a_folder_that_cannot_be_made_is_refused(run: Run) -> None:
    with (
        pytest.raises(FolderError, match="must be one that can be made, got /dev/null/run"),
        claimed(replace(run, out="/dev/null/run"), "quick", Accelerator(cpu=True)),
    ):
        pass
    assert FolderError.exit_code == 73


def test_what_a_run_left_before_its_settings_is_gone_on_with(run: Run) -> None:
    (Path(run.out) / "phantom").mkdir(parents=True)
    (Path(run.out) / ".store.tmp").mkdir()
    with claimed(replace(run, resume="latest"), "quick", Accelerator(cpu=True)) as out:
        assert out == Path(run.out)
