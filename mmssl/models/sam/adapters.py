"""LoRA adapters around linear layers: the one place that calls peft."""

from torch import nn


def add_adapters(network: nn.Module, layers: str, rank: int) -> None:
    """Put LoRA around some linear layers of a network and freeze everything else in it.

    Hu et al., ICLR 2022: W x becomes W x + B A x, A Kaiming-uniform, B zero, scale 1, no dropout.

    Args:
        network: changed in place.
        layers: regular expression that the whole name of a layer must match.
        rank: rows of A.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        >>> add_adapters(network, '1', rank=2)
        >>> [name for name, p in network.named_parameters() if p.requires_grad]
        ['1.lora_A.default.weight', '1.lora_B.default.weight']
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=layers)
    inject_adapter_in_model(config, network)
    for module in network.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast does it, once


def merge_adapters(network: nn.Module) -> None:
    """Replace every layer with LoRA by the plain layer that does the same, W + B A.

    Weights that other networks share are left as they are: a merged layer has its own.

    Args:
        network: changed in place; its parameters are as if built without adapters.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        >>> add_adapters(network, '1', rank=2)
        >>> merge_adapters(network)
        >>> [name for name, _ in network.named_parameters()]
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    from peft.tuners.lora.layer import Linear

    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, Linear)]
    for name, layer in layers:
        base = layer.get_base_layer()
        assert isinstance(base, nn.Linear)
        change = layer.get_delta_weight(layer.active_adapter[0])
        merged = nn.Linear(base.in_features, base.out_features, base.bias is not None)
        merged.weight = nn.Parameter((base.weight + change).detach(), requires_grad=False)
        merged.bias = base.bias
        network.set_submodule(name, merged.train(layer.training))
