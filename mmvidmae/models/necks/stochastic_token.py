"""Sampled token that tells a decoder what the past does not determine."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import init_mae_weights, require, require_share, require_whole


@MODELS.register_module()
class StochasticToken(BaseModule):
    r"""Discrete latent variables between two frames (RSP, arXiv 2406.07398, section 3): a sampled token, a KL loss.

    Each of S variables has C classes. Two networks with one hidden ReLU layer of width 2 D give their logits: the
    posterior :math:`q` from the class tokens of both frames, the prior :math:`p` from that of the source frame. One
    class of each variable is drawn from the posterior. The one-hot vectors, with the straight-through gradient of the
    probabilities, are projected to one token.

    The loss is :math:`\max(\mathrm{KL}(q \| p), b)` with :math:`b` the free bits, where the KL divergence is summed
    over variables and averaged over the batch. Its gradient is split as in DreamerV2 (arXiv 2010.02193, section 2.2):
    a share goes to the posterior, the rest to the prior.

    Args:
        embed_dims: Width D of the class tokens.
        token_dims: Width of the sampled token.
        num_variables: Number S of variables.
        num_classes: Number C of classes of a variable.
        kl_balance: Share of the gradient of the KL divergence that trains the posterior, in [0, 1].
        free_bits: Bound b in nats. Below it, the loss has no gradient.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        embed_dims: int = 384,
        token_dims: int = 512,
        num_variables: int = 32,
        num_classes: int = 32,
        kl_balance: float = 0.2,
        free_bits: float = 0.1,
    ) -> None:
        super().__init__()
        require_whole(self, embed_dims=embed_dims, token_dims=token_dims, num_variables=num_variables)
        require_whole(self, least=2, num_classes=num_classes)
        require_share(self, one=True, kl_balance=kl_balance)
        require(free_bits >= 0, self, 'free_bits', free_bits, 'a number of nats of at least 0')
        self.num_variables = num_variables
        self.num_classes = num_classes
        self.kl_balance = kl_balance
        self.free_bits = free_bits
        hidden, size = 2 * embed_dims, num_variables * num_classes
        self.posterior = nn.Sequential(nn.Linear(2 * embed_dims, hidden), nn.ReLU(), nn.Linear(hidden, size))
        self.prior = nn.Sequential(nn.Linear(embed_dims, hidden), nn.ReLU(), nn.Linear(hidden, size))
        self.embed = nn.Linear(size, token_dims)

    def init_weights(self) -> None:
        """Initialize as MAE does."""
        super().init_weights()
        init_mae_weights(self)

    def forward(
        self, source: Tensor, target: Tensor, uniform: Tensor | None = None, classes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Sample a token and compute the loss.

        Args:
            source: Class token of the source frame ``(N, D)``.
            target: Class token of the target frame ``(N, D)``.
            uniform: Uniform noise ``(N, S)`` in [0, 1) that determines the classes. By default it is drawn from
                torch's generator.
            classes: Classes ``(N, S)`` int64, to repeat given draws.

        Returns:
            The token ``(N, 1, token_dims)`` and the loss, a scalar.
        """
        posterior, prior = self.logits(source, target)
        return self.token(posterior, uniform, classes), self.kl(posterior, prior).clamp(min=self.free_bits)

    def logits(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(N, S, C)`` float32 of posterior and prior, from class tokens ``(N, D)``."""
        posterior, prior = self.posterior(torch.cat((source, target), dim=-1)), self.prior(source)
        shape = (self.num_variables, self.num_classes)
        return posterior.float().unflatten(-1, shape), prior.float().unflatten(-1, shape)

    def token(self, logits: Tensor, uniform: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """Token ``(N, 1, token_dims)`` of classes drawn by ``logits (N, S, C)``; see :meth:`forward`."""
        probs = logits.softmax(-1)
        if classes is None:
            uniform = torch.rand_like(probs[..., 0]) if uniform is None else uniform.to(probs.dtype)
            cumulative = probs.detach().cumsum(-1)  # a class is as likely as its part of the interval is long
            classes = (cumulative <= uniform[..., None] * cumulative[..., -1:]).sum(-1).clamp(max=self.num_classes - 1)
        one_hot = F.one_hot(classes, self.num_classes).to(probs.dtype)
        return self.embed((one_hot + probs - probs.detach()).flatten(1))[:, None]

    def kl(self, posterior: Tensor, prior: Tensor) -> Tensor:
        """KL divergence of the posterior from the prior, from logits ``(N, S, C)``: a scalar with a balanced
        gradient."""
        train_posterior = self._divergence(posterior, prior.detach())
        train_prior = self._divergence(posterior.detach(), prior)
        return self.kl_balance * train_posterior + (1 - self.kl_balance) * train_prior

    @staticmethod
    def _divergence(logits: Tensor, others: Tensor) -> Tensor:
        log_probs = logits.log_softmax(-1)
        return (log_probs.exp() * (log_probs - others.log_softmax(-1))).sum((-2, -1)).mean()
