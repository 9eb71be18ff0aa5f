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
