# ruff: noqa: F821
"""x"""
