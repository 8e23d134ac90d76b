"""The table of released generators."""

import subprocess
import sys

from infrope_env.models.wan.catalog import CHECKPOINTS


def test_names_of_rows_and_their_files_are_distinct() -> None:
    names, files = {row.name for row in CHECKPOINTS}, {(row.repo, row.file) for row in CHECKPOINTS}
    assert len(names) == len(files) == len(CHECKPOINTS)


def test_the_table_and_the_errors_import_no_torch() -> None:
    code = "import sys, infrope_env.models.wan.catalog, infrope_env.errors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_load_generator_is_one_short_import() -> None:
    code = "from infrope_env.models import load_generator; print(load_generator.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "infrope_env.models.wan.generator"
