"""Images that generators made earlier, so that critics are not only shown the newest (Shrivastava et al. 2017)."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, distributed

OLD = 0.5
"""How often a full pool answers with an image of earlier."""


class ImagePool:
    """A pool of `size` made images, as CycleGAN has one for each critic (arXiv 1612.07828, section 2.3).

    While it is not full, it keeps and returns what it is given. Afterwards each image is answered, at even odds, by
    itself, or by one of those kept, whose place it takes. With `size` 0 every image passes through. Several processes
    have one pool between them: each asks it, in the order of their ranks, about the images of all, and takes the
    answers to its own; so each must ask, about equally many.

    A `recipe.Memory`: its images and its own random numbers belong into checkpoints. ValueError for a negative size.

    >>> pool, batch = ImagePool(2, seed=0), torch.arange(6.0).reshape(6, 1, 1, 1)
    >>> pool(batch).flatten().tolist()
    [0.0, 1.0, 1.0, 0.0, 2.0, 4.0]
    """

    def __init__(self, size: int, *, seed: int) -> None:
        if size < 0:
            raise ValueError(f"size of a pool must be 0 or more, got {size}")
        self.size = size
        self._images: list[Tensor] = []
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What a critic is shown in place of newly made images; without gradient.

        ValueError for images of another shape than those kept.
        """
        images = images.detach()
        if self.size == 0:
            return images
        everyones, rank = _gathered(images)
        answers = [self._answer(image) for image in everyones]
        return torch.stack(answers[rank * len(images) :][: len(images)])

    def tensors(self) -> dict[str, Tensor]:
        """The images kept, `(n, c, h, w)` or none, and the state of the random numbers."""
        # those of a checkpoint are on the CPU still, newer ones are not
        images = torch.stack([image.cpu() for image in self._images]) if self._images else torch.empty(0)
        return {"images": images, "generator": self._generator.get_state()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from there; of more images than `size`, the first are kept."""
        self._images = list(tensors["images"])[: self.size]
        self._generator.set_state(tensors["generator"].cpu())

    def _answer(self, image: Tensor) -> Tensor:
        if self._images and image.shape != self._images[0].shape:
            raise ValueError(
                f"image must have the shape of those in the pool, {tuple(self._images[0].shape)}, "
                f"got {tuple(image.shape)}; keep data.patch, or start anew"
            )
        # copies, for a view would keep its whole batch in memory
        if len(self._images) < self.size:
            self._images.append(image.clone())
            return image
        if torch.rand((), generator=self._generator) >= OLD:
            return image
        place = int(torch.randint(self.size, (), generator=self._generator))
        old, self._images[place] = self._images[place], image.clone()
        return old.to(image.device)  # one that a checkpoint held is still on the CPU


def _gathered(images: Tensor) -> tuple[Tensor, int]:
    """The images of all processes in the order of their ranks, and which of them this one is."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return images, 0
    images = images.contiguous()
    parts = [torch.empty_like(images) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, images)
    return torch.cat(parts), distributed.get_rank()
