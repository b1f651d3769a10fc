"""The CLEAR loss for any sentence-transformers trainer; imports torch and sentence-transformers, nothing of the stages.

This file imports neither, so that settings can name a divergence without waiting for torch.
"""

from typing import Literal

#: What the KL term is: the paper's KL; the same with forward as a fixed teacher; KL(forward || reverse);
#: Jensen-Shannon.
Divergence = Literal["kl", "kl-detached", "kl-reversed", "js"]
