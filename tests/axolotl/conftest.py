"""Axolotl, tokenizers made here, and rows as the data builder writes them. Nothing is downloaded or sent."""

import importlib.util
import os

import pytest

if importlib.util.find_spec("axolotl") is None:
    # the default run: `make test-axolotl` is the one that has it
    collect_ignore_glob = ["test_*.py"]

# read when Axolotl and the Hub's library are imported
os.environ |= {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """Axolotl writes where it is started: paths of its files are relative."""
    monkeypatch.chdir(tmp_path)
