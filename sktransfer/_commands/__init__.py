"""Commands of ``python -m sktransfer``: one module each."""
