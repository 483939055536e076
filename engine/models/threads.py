"""How torch computes on this machine."""

from __future__ import annotations

import torch

from engine.profile import Profile
from engine.provenance import usable_cores


def set_threads(profile: Profile, num_processes: int = 1) -> None:
    """As many threads as there are cores to run on, and only kernels that give the same sum every time.

    Args:
        num_processes: that share this machine's cores.
    """
    torch.set_num_threads(profile.train.threads or max(1, usable_cores() // num_processes))
    torch.use_deterministic_algorithms(True, warn_only=True)
