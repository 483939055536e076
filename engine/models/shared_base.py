"""Teacher and student on one base model in memory (docs/decisions/0014-one-base.md).

Both are whole models with modules, modes and hooks of their own, so that nothing is ever switched between
them; only the parameters of the base are the very same tensors, frozen for both.
"""

from __future__ import annotations

import copy
from typing import Any


def share(model: Any) -> Any:
    """A second model on the parameters of this one, which must stay frozen."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        if hasattr(module, "init_8bit_state"):  # where bitsandbytes keeps a layer's 8-bit weights and scales
            if module.weight.CB is not None:
                module.init_8bit_state()
            memo[id(module.state)] = module.state
    return copy.deepcopy(model, memo)
