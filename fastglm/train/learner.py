"""A learner: a model together with its loss."""

from torch import Tensor, nn

from ..evaluate.likelihood import answer_loss
from ..models.language_model import LanguageModel
from ..models.packing import Batch


class Learner(nn.Module):
    """Learns the answers of a text from the text alone."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """The mean loss of a batch's targets, in nats."""
        return answer_loss(self.model, batch).mean()
