"""The frozen blocks, where rows arrive as inputs and not as activations."""

from .._utils.names import on_disk
from ..backbones import State


@on_disk
class Prefix:
    """Maps inputs to activations; left out of pickles."""

    def __init__(self, request):
        from ..backbones._engines.prepare import prepare_for_inference

        self.ready, _ = prepare_for_inference(
            request.backbone, request.device, precision=request.precision
        )
        self.depth, self.pooling = request.depth, request.pooling

    def __call__(self, state):
        """Map a State of inputs to one of activations."""
        state = self.ready.run(state, 0, self.depth)
        if self.depth < len(self.ready.blocks):
            return state
        return State(self.ready.pool(state, self.pooling, self.depth))

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return no_prefix, ()


@on_disk
def no_prefix():
    return None
