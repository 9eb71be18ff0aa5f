"""How far the convolution kernels of networks are independent of each other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from mmssl.models.methods.ss_net.vat import single_precision

BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8  # of Adam


def conv_kernels(network: nn.Module) -> dict[str, Tensor]:
    """Return the trainable kernels of all convolutions by name, each as rows (N, K).

    The rows are the first axis of a weight: output channels, for a transposed convolution input
    channels.
    """
    return {
        name: module.weight.flatten(1)
        for name, module in network.named_modules()
        if isinstance(module, _ConvNd) and module.weight.requires_grad
    }


def common_kernels(networks: Sequence[nn.Module]) -> list[list[Tensor]]:
    """Return the kernels that all networks have by the same name in the same shape.

    Returns:
        For each network the kernels (N, K), in one order.

    Raises:
        ValueError: there is one network only.

    Example:
        >>> a = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
        >>> b = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 2, 2, 2))
        >>> [[tuple(kernel.shape) for kernel in kernels] for kernels in common_kernels([a, b])]
        [[(4, 9)], [(4, 9)]]
    """
    if len(networks) < 2:
        raise ValueError(
            f'Independence is between networks or decoders, found {len(networks)}: '
            'name a second student, or give the student a MultiDecoderHead'
        )
    first, *others = (conv_kernels(network) for network in networks)
    names = [
        name
        for name, kernel in first.items()
        if all(name in o and o[name].shape == kernel.shape for o in others)
    ]
    return [[kernels[name] for name in names] for kernels in (first, *others)]


def predictability(linear_map: Tensor, cross: Tensor, gram: Tensor) -> Tensor:
    """Return the mean squared cosine of rows W and their prediction P V, see `products`.

    With rows v of V and w of W, `cos(P v, w)^2 = (P (V w))^2 / (P (V V') P')` for unit w: after
    two products of the kernels, no step touches their K entries again.

    Args:
        linear_map: P (N, M).
        cross: W V' of W's rows at unit length, (N, M).
        gram: V V' (M, M).

    Example:
        >>> w, v = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> p = torch.tensor([[2.0, 0.0]])
        >>> round(predictability(p, *products(w, v)).item(), 4)  # (3 / 5)^2
        0.36
    """
    overlap = (linear_map * cross).sum(1)
    length = (linear_map @ gram * linear_map).sum(1)
    return (overlap**2 / length.clamp(min=torch.finfo(length.dtype).tiny)).mean()


def products(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return W V' of W's rows at unit length, and V V', of kernels W (N, K) and V (M, K)."""
    own, others = own.float(), others.float()
    return nn.functional.normalize(own, dim=1) @ others.T, others @ others.T


class KernelIndependence(nn.Module):
    """Linear maps that predict each network's kernels from those of all other networks.

    With kernels W_i of network i, V_i the rows of all others' kernels one below the other, and a
    linear map P_i for each of L layers::

        I(W_i | P_i) = 1/L sum_l mean_rows cos^2(P_i V_i, W_i)

    `maximise` moves the maps by Adam; a method lowers I by its networks. Maps and Adam's averages
    are in the state, so that a run resumes exactly. Adam is written out: torch's own asks the host
    for its step but on CUDA, and rounds otherwise (2e-6 apart after 60 steps).
    Source: Miao et al., CauSSL, ICCV 2023, eq. of the algorithmic independence and its released
    code.

    Args:
        rows: number N of rows of each layer's kernel.
        networks: number of networks.
        steps: Adam's steps of one `maximise`.
        lr: Adam's learning rate.
        std: of the maps' first entries.

    Raises:
        ValueError: there is no layer to compare.

    Example:
        >>> kernels = [[torch.eye(2)], [torch.tensor([[0.0, 2.0], [3.0, 0.0]])]]
        >>> independence = KernelIndependence([2], steps=1000)
        >>> independence.maximise(kernels)
        >>> bool((independence(kernels) > 0.99).all())  # each is a linear map of the other
        True
    """

    count: Tensor

    def __init__(
        self,
        rows: Sequence[int],
        networks: int = 2,
        steps: int = 60,
        lr: float = 0.02,
        std: float = 1e-3,
    ) -> None:
        super().__init__()
        if not rows:
            raise ValueError(
                'There is no convolution that all networks have by the same name and '
                'in the same shape: kernel independence has nothing to compare'
            )
        self.layers, self.networks = len(rows), networks
        self.steps, self.lr = steps, lr
        maps = [std * torch.randn(n, n * (networks - 1)) for _ in range(networks) for n in rows]
        self.maps = frozen(maps)
        self.means = frozen([torch.zeros_like(p) for p in maps])
        self.squares = frozen([torch.zeros_like(p) for p in maps])
        self.register_buffer('count', torch.zeros(()))

    def forward(self, kernels: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return I of each network (networks,), with a gradient to its own kernels alone.

        Args:
            kernels: for each network those of all layers, (N, K) each.
        """
        return self._predictability(list(self.maps), self._products(kernels))

    @torch.no_grad()
    def maximise(self, kernels: Sequence[Sequence[Tensor]]) -> None:
        """Move the maps for `steps` steps of Adam to where I is larger; kernels stay."""
        pairs = self._products(kernels)
        maps, means, squares = (
            [p.data for p in part] for part in (self.maps, self.means, self.squares)
        )
        for _ in range(self.steps):
            with torch.enable_grad():
                moving = [p.detach().requires_grad_() for p in maps]
                total = self._predictability(moving, pairs).sum()
                grads = torch.autograd.grad(total, moving)
            self.count += 1
            torch._foreach_lerp_(means, grads, 1 - BETA_1)
            torch._foreach_mul_(squares, BETA_2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - BETA_2)
            rate = self.lr / (1 - BETA_1**self.count)
            scale = (1 - BETA_2**self.count).sqrt()
            for p, mean, square in zip(maps, means, squares, strict=True):
                p += rate * mean / (square.sqrt() / scale + EPS)

    def _products(self, kernels: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, Tensor]]:
        with single_precision(kernels[0][0].device.type):
            return [
                products(
                    own,
                    torch.cat([other[layer].detach() for j, other in enumerate(kernels) if j != i]),
                )
                for i, layers in enumerate(kernels)
                for layer, own in enumerate(layers)
            ]

    def _predictability(self, maps: list[Tensor], pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        with single_precision(maps[0].device.type):
            each = [predictability(p, *pair) for p, pair in zip(maps, pairs, strict=True)]
        return torch.stack(each).view(self.networks, self.layers).mean(1)


def frozen(tensors: Sequence[Tensor]) -> nn.ParameterList:
    """Return tensors as parameters that no optimiser of the training moves."""
    return nn.ParameterList([nn.Parameter(t, requires_grad=False) for t in tensors])
