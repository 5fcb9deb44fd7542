_native.__prefix__:
    from collections.abc import Callable, Sequence
    from numpy.typing import NDArray
    from torch import Tensor
    from typing_extensions import Self
