"""Helpers that everything may import."""

from mmssl.utils.setup import register_all_modules

__all__ = ['register_all_modules']
