"""The CLEAR loss for any sentence-transformers trainer. It needs torch and sentence-transformers, and no other stage.

This file imports neither of the two, so that settings can name a divergence without waiting for torch.
"""

from typing import Literal

#: Forms of the KL term. kl: KL(reverse || forward), as in the paper. kl-detached: the same, without a gradient through
#: forward. kl-reversed: KL(forward || reverse). js: Jensen-Shannon.
Divergence = Literal["kl", "kl-detached", "kl-reversed", "js"]
