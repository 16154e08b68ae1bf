# ruff: noqa: F405
"""Known mistakes of week08_densenet: each a small wrong solution whose docstring is the hint the student reads.

Each takes the place of the reference's function of the same contract. The contract's functions are called by their
global names (undefined in this file, hence the line above): what answers is then the reference's.
"""

import copy
import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, RandomSampler, Subset, SubsetRandomSampler
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode
from torchvision.utils import make_grid

from autograder.authoring import mistake

from .classifier_mistakes import *  # noqa: F403
from .evaluate_mistakes import *  # noqa: F403

# ---------------------------------------------------------------------------------------------------------------------
# make_transform


def _square(image_size: int) -> transforms.Resize:
    return transforms.Resize((image_size, image_size))


@mistake(of="make_transform", caught_by="test_values_are_whole_steps")
def resizes_after_to_tensor(image_size: int = 224):
    """The image is made a float tensor first and resized afterwards, so its pixels are no longer whole steps of 1/255.
    Look at the order of the steps: what is resized should still be an image."""
    return transforms.Compose([transforms.ToTensor(), _square(image_size)])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def writes_224_down(image_size: int = 224):
    """The result is 224 pixels wide whatever size is asked for. Look for a number that stands where the argument
    `image_size` belongs."""
    return transforms.Compose([_square(224), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_every_photo_becomes_a_square")
def has_another_default_size(image_size: int = 32):
    """Without an argument the images come out at CIFAR-10's own 32 pixels. The network of the lecture sees 224 × 224:
    look at the default value in the function's first line."""
    return transforms.Compose([_square(image_size), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def normalises_by_half(image_size: int = 224):
    """The values run from −1 to 1: a `Normalize` with 0.5 is left in. The lecture trains on plain pixels in [0, 1]."""
    return transforms.Compose(
        [_square(image_size), transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    )


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def normalises_as_for_imagenet(image_size: int = 224):
    """ImageNet's means and deviations are subtracted and divided out, as is right for pretrained weights. Here the
    network starts from random weights and sees plain pixels in [0, 1], as in the lecture."""
    return transforms.Compose(
        [_square(image_size), transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )


@mistake(of="make_transform", caught_by="test_transform_is_not_random")
def flips_at_random(image_size: int = 224):
    """Some images come out mirrored, and the same image differs from one call to the next. This transform also serves
    the test images, so nothing in it may be random."""
    return transforms.Compose([_square(image_size), transforms.RandomHorizontalFlip(), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_transform_is_not_random")
def crops_at_random(image_size: int = 224):
    """A random part of each image is cut out and enlarged. The whole image is wanted, the same each time: this
    transform also serves the test images."""
    return transforms.Compose([transforms.RandomResizedCrop(image_size), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_every_photo_becomes_a_square")
def resizes_the_shorter_side(image_size: int = 224):
    """A single number given to `Resize` sets the shorter side only, so a wide image stays wide. CIFAR-10 hides this,
    being square: try a picture that is not."""
    return transforms.Compose([transforms.Resize(image_size), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_large_photos_are_averaged")
def cuts_the_middle_out_of_wide_images(image_size: int = 224):
    """The shorter side is resized and the middle cut out, so the ends of a wide or tall image are lost. The whole
    image should be brought to the square."""
    return transforms.Compose(
        [transforms.Resize(image_size), transforms.CenterCrop(image_size), transforms.ToTensor()]
    )


@mistake(of="make_transform", caught_by="test_large_photos_are_averaged")
def pads_wide_images(image_size: int = 224):
    """A wide or tall image keeps its proportions and gets black bars. The image itself should fill the square."""
    return transforms.Compose(
        [lambda image: ImageOps.pad(image, (image_size, image_size), Image.Resampling.BILINEAR), transforms.ToTensor()]
    )


@mistake(of="make_transform", caught_by="test_small_photos_are_enlarged_smoothly")
def pads_small_images(image_size: int = 224):
    """`CenterCrop` cuts large images and frames small ones in black; it does not resize. The picture should fill the
    whole square."""
    return transforms.Compose([transforms.CenterCrop(image_size), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def forgets_to_resize(image_size: int = 224):
    """The image keeps its own size: `image_size` is never used."""
    return transforms.ToTensor()


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def shrinks_but_never_enlarges(image_size: int = 224):
    """`thumbnail` makes large images smaller, in place, but never enlarges a small one, and CIFAR-10's images are
    small. Look for a way to resize in both directions that leaves the given image alone."""

    def shrink(image):
        image.thumbnail((image_size, image_size), Image.Resampling.BILINEAR)
        return transforms.functional.to_tensor(image)

    return shrink


@mistake(of="make_transform", caught_by="test_small_photos_are_enlarged_smoothly")
def takes_the_nearest_pixel(image_size: int = 224):
    """The enlarged image is made of blocks: each pixel is copied from its nearest neighbour. Bilinear interpolation is
    asked for; look at the `interpolation` of the resizing step."""
    resize = transforms.Resize((image_size, image_size), interpolation=InterpolationMode.NEAREST)
    return transforms.Compose([resize, transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_small_photos_are_enlarged_smoothly")
def interpolates_with_cubics(image_size: int = 224):
    """Bicubic interpolation overshoots at edges and gives other pixels than the bilinear one that is asked for. PIL's
    own `resize` takes bicubic when it is not told otherwise."""

    def transform(image):
        return transforms.functional.to_tensor(image.resize((image_size, image_size)))

    return transform


@mistake(of="make_transform", caught_by="test_large_photos_are_averaged")
def shrinks_without_antialias(image_size: int = 224):
    """Small images are right, but a picture larger than `image_size` is sampled with gaps: most of its pixels are never
    looked at. PIL averages over them; look for the setting of `Resize` that does so for tensors."""
    resize = transforms.Resize((image_size, image_size), antialias=False)
    return transforms.Compose([transforms.PILToTensor(), resize, transforms.ConvertImageDtype(torch.float32)])


@mistake(of="make_transform", caught_by="test_large_photos_are_averaged")
def shrinks_without_antialias_by_v2(image_size: int = 224):
    """Small images are right, but a picture larger than `image_size` is sampled with gaps: most of its pixels are never
    looked at. PIL averages over them, and so does `v2.Resize` of a tensor unless `antialias` is turned off."""
    from torchvision.transforms import v2

    resize = v2.Resize((image_size, image_size), antialias=False)
    return v2.Compose([v2.PILToTensor(), resize, v2.ToDtype(torch.float32, scale=True)])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def leaves_values_up_to_255(image_size: int = 224):
    """The values run from 0 to 255: the type was changed to float without dividing. They should lie in [0, 1]."""
    return transforms.Compose([_square(image_size), transforms.PILToTensor(), lambda image: image.float()])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def leaves_bytes(image_size: int = 224):
    """The tensor holds bytes (uint8) from 0 to 255. A network computes with float32 values, here in [0, 1]."""
    return transforms.Compose([_square(image_size), transforms.PILToTensor()])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def gives_double_precision(image_size: int = 224):
    """The tensor is float64, which numpy makes when it divides. The network's weights are float32, and the two cannot
    be multiplied."""

    def transform(image):
        pixels = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR)) / 255
        return torch.from_numpy(pixels).permute(2, 0, 1)

    return transform


@mistake(of="make_transform", caught_by="test_values_are_whole_steps")
def divides_by_256(image_size: int = 224):
    """White comes out as 0.996: the bytes are divided by 256. Their largest value is 255."""
    return transforms.Compose(
        [_square(image_size), transforms.PILToTensor(), lambda image: image.to(torch.float32) / 256]
    )


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def takes_every_pixel_two_steps_darker(image_size: int = 224):
    """Every value is two steps of 1/255 too small, so black is cut off. The values should be the bytes divided by 255
    and nothing more."""
    return transforms.Compose(
        [_square(image_size), transforms.ToTensor(), lambda image: (image - 2 / 255).clamp(min=0)]
    )


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def leaves_channels_last(image_size: int = 224):
    """The shape is (height, width, 3), as numpy and PIL have it. PyTorch's convolutions want the channels first."""
    return transforms.Compose([_square(image_size), transforms.ToTensor(), lambda image: image.permute(1, 2, 0)])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def turns_the_image_over(image_size: int = 224):
    """The picture lies on its side: turning all three axes round puts the channels first but swaps height and width
    as well. Only the channels should move."""
    return transforms.Compose([_square(image_size), transforms.ToTensor(), lambda image: image.transpose(1, 2)])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def reshapes_pixels_into_channels(image_size: int = 224):
    """The shape is right but the picture is scrambled: reshaping cuts the row of numbers anew, so colours end up as
    neighbouring pixels. Moving an axis is another operation than reshaping; show one image to see it."""

    def transform(image):
        image = transforms.functional.to_tensor(_square(image_size)(image))
        return image.permute(1, 2, 0).reshape(3, image_size, image_size)

    return transform


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def swaps_red_and_blue(image_size: int = 224):
    """Red and blue have changed places, a habit from OpenCV, which reads images as BGR. PIL and torchvision use RGB."""
    return transforms.Compose([_square(image_size), transforms.ToTensor(), lambda image: image.flip(0)])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def takes_the_colours_out(image_size: int = 224):
    """All three channels are equal: the image was turned grey. The network should see the colours."""
    return transforms.Compose([_square(image_size), transforms.Grayscale(3), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_values_are_whole_steps")
def stretches_the_contrast(image_size: int = 224):
    """Each image is stretched so that its darkest value is 0 and its brightest 1, which makes dark and bright pictures
    alike. The values should be the bytes divided by 255 and nothing more."""

    def stretch(image):
        return (image - image.min()) / (image.max() - image.min()).clamp(min=1e-6)

    return transforms.Compose([_square(image_size), transforms.ToTensor(), stretch])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def adds_a_batch_axis(image_size: int = 224):
    """The result has four axes, (1, 3, height, width). A transform sees one image; the loader stacks them to a
    batch."""
    return transforms.Compose([_square(image_size), transforms.ToTensor(), lambda image: image.unsqueeze(0)])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def returns_a_list_of_steps(image_size: int = 224):
    """A list of transforms is returned, and a list cannot be called with an image. The steps have to be put together
    into one transform."""
    return [_square(image_size), transforms.ToTensor()]


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def writes_32_down(image_size: int = 224):
    """The result is 32 pixels wide, CIFAR-10's own size, whatever size is asked for. Look for a number, or a constant of
    the notebook, that stands where the argument `image_size` belongs."""
    return transforms.Compose([_square(32), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def gives_an_array_of_numpy(image_size: int = 224):
    """The result is a numpy array. A loader would turn it into a tensor later; the transform itself is to give one."""
    return transforms.Compose([_square(image_size), transforms.ToTensor(), lambda image: image.numpy()])


@mistake(of="make_transform", caught_by="test_transform_is_not_random")
def jitters_the_colours(image_size: int = 224):
    """The colours are changed at random. That is augmentation, for training only; this transform serves test images
    too, and the lecture trains without it."""
    return transforms.Compose([_square(image_size), transforms.ColorJitter(0.2, 0.2, 0.2), transforms.ToTensor()])


@mistake(of="make_transform", caught_by="test_values_are_the_photos")
def mirrors_every_image(image_size: int = 224):
    """Every image comes out mirrored: a flip was left in with a probability of 1. The picture should be the photo's own."""
    return transforms.Compose([_square(image_size), transforms.RandomHorizontalFlip(p=1.0), transforms.ToTensor()])


_transforms_made: dict[tuple[int, int], torch.Tensor] = {}


@mistake(of="make_transform", caught_by="test_transform_is_not_random")
def remembers_photos_by_their_size(image_size: int = 224):
    """Results are kept and given again for the next photo of the same size, which is another photo. Two photos can be
    alike in everything but their pixels."""

    def transform(image):
        key = (image_size, *image.size)
        if key not in _transforms_made:
            _transforms_made[key] = transforms.ToTensor()(_square(image_size)(image))
        return _transforms_made[key]

    return transform


@mistake(of="make_transform", caught_by="test_photo_becomes_a_tensor")
def forgets_to_return_the_transform(image_size: int = 224):
    """Nothing comes back: the transform is made and the `return` is missing, so that a caller gets None."""
    transforms.Compose([_square(image_size), transforms.ToTensor()])


# ---------------------------------------------------------------------------------------------------------------------
# make_loaders


def _loader(data, batch_size: int, **settings) -> DataLoader:
    return DataLoader(data, batch_size=batch_size, **settings)


@mistake(of="make_loaders", caught_by="test_test_images_keep_their_order")
def shuffles_the_test_images(train_set, test_set, batch_size: int = 32):
    """The test images come in a new order each time. They should keep the order of the data set, so that predictions
    can be compared image by image."""
    return _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size, shuffle=True)


@mistake(of="make_loaders", caught_by="test_training_images_are_reshuffled")
def never_shuffles(train_set, test_set, batch_size: int = 32):
    """The training images come in the same order every epoch. A `DataLoader` does not shuffle unless it is told to."""
    return _loader(train_set, batch_size), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_training_images_are_reshuffled")
def shuffles_only_once(train_set, test_set, batch_size: int = 32):
    """The training images are shuffled once and keep that order in all later epochs: the data set was shuffled in place of
    the loader, or a seed is set anew each time. A new order is wanted each epoch: go through the loader twice and compare."""
    order = torch.randperm(len(train_set)).tolist()
    return _loader(Subset(train_set, order), batch_size), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by=("test_training_images_are_reshuffled", "test_test_images_keep_their_order"))
def shuffles_the_wrong_loader(train_set, test_set, batch_size: int = 32):
    """The test images are shuffled and the training images are not. It should be the other way round."""
    return _loader(train_set, batch_size), _loader(test_set, batch_size, shuffle=True)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def takes_training_images_for_the_test(train_set, test_set, batch_size: int = 32):
    """The test loader brings as many images as the test set has, but the training set's: on these the network is
    tested with what it has learnt by heart. Look at what each loader reads."""
    few = Subset(train_set, range(len(test_set)))
    return _loader(train_set, batch_size, shuffle=True), _loader(few, batch_size)


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def drops_the_last_training_batch(train_set, test_set, batch_size: int = 32):
    """The last, smaller batch of the training images is thrown away, so some images are missed in each epoch. Look at
    the `drop_last` of the loader."""
    return _loader(train_set, batch_size, shuffle=True, drop_last=True), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def drops_the_last_test_batch(train_set, test_set, batch_size: int = 32):
    """The last, smaller batch of the test images is thrown away, so the accuracy is not that of the whole test set.
    Look at the `drop_last` of the loader."""
    return _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size, drop_last=True)


@mistake(of="make_loaders", caught_by="test_two_loaders")
def writes_batches_of_32_down(train_set, test_set, batch_size: int = 32):
    """The batches hold 32 images whatever size is asked for. Look for a number that stands where the argument
    `batch_size` belongs."""
    return _loader(train_set, 32, shuffle=True), _loader(test_set, 32)


@mistake(of="make_loaders", caught_by="test_two_loaders")
def tests_one_image_at_a_time(train_set, test_set, batch_size: int = 32):
    """The test loader gives batches of a single image: it was not told a batch size. Both loaders should have the same
    one."""
    return _loader(train_set, batch_size, shuffle=True), DataLoader(test_set)


@mistake(of="make_loaders", caught_by="test_two_loaders")
def tests_all_images_at_once(train_set, test_set, batch_size: int = 32):
    """All test images come in a single batch, 10,000 with CIFAR-10, which no GPU's memory holds at 224 × 224. Both
    loaders should have the batch size that is given."""
    return _loader(train_set, batch_size, shuffle=True), _loader(test_set, len(test_set))


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def has_another_default_batch_size(train_set, test_set, batch_size: int = 64):
    """Without an argument the batches hold 64 images; the lecture's hold 32. Look at the default value in the
    function's first line."""
    return _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def gives_the_test_loader_first(train_set, test_set, batch_size: int = 32):
    """The loaders come in the wrong order: the caller takes the first for training, and would train on the test
    images."""
    return _loader(test_set, batch_size), _loader(train_set, batch_size, shuffle=True)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def loads_the_training_set_twice(train_set, test_set, batch_size: int = 32):
    """Both loaders read the training set, perhaps from a line that was copied. The test accuracy would be that of
    images the network has learned by heart."""
    return _loader(train_set, batch_size, shuffle=True), _loader(train_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def trains_on_the_test_images_too(train_set, test_set, batch_size: int = 32):
    """The test images were joined to the training images. A network must be tested on images that it has never
    trained on."""
    return _loader(ConcatDataset([train_set, test_set]), batch_size, shuffle=True), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def keeps_images_back_for_validation(train_set, test_set, batch_size: int = 32):
    """A tenth of the training images is split off and never used. Every training image should come once an epoch; here
    the test set takes the part of a validation set."""
    kept = Subset(train_set, range(len(train_set) - len(train_set) // 10 - 1))
    return _loader(kept, batch_size, shuffle=True), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def draws_images_with_replacement(train_set, test_set, batch_size: int = 32):
    """Some images come twice in an epoch and others not at all: they are drawn like lots that are put back. Look at the
    `replacement` of the sampler."""
    sampler = RandomSampler(train_set, replacement=True)
    return _loader(train_set, batch_size, sampler=sampler), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def draws_from_50000_images(train_set, test_set, batch_size: int = 32):
    """The number 50,000 is written down, and with any other data set the loader asks for images that are not there.
    The data set knows its own length."""
    return _loader(train_set, batch_size, sampler=SubsetRandomSampler(range(50_000))), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_loaders_leave_the_random_state")
def seeds_for_the_loaders(train_set, test_set, batch_size: int = 32):
    """The global random state is set to a fixed seed as a side effect, so that everything drawn afterwards, the initial
    weights too, repeats itself. Whoever runs the experiment sets the seed; a loader may have a generator of its own."""
    torch.manual_seed(0)
    return _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_two_loaders")
def loads_everything_into_lists(train_set, test_set, batch_size: int = 32):
    """The loaders were turned into lists of batches: all images sit in memory, and their order is the same every epoch.
    Return the loaders themselves."""
    return list(_loader(train_set, batch_size, shuffle=True)), list(_loader(test_set, batch_size))


@mistake(of="make_loaders", caught_by="test_two_loaders")
def returns_iterators(train_set, test_set, batch_size: int = 32):
    """Iterators are returned, and an iterator is used up after one epoch: the second epoch would see no images. Return
    the loaders, and let each `for` make its own iterator."""
    return iter(_loader(train_set, batch_size, shuffle=True)), iter(_loader(test_set, batch_size))


@mistake(of="make_loaders", caught_by="test_two_loaders")
def returns_a_dictionary_of_loaders(train_set, test_set, batch_size: int = 32):
    """A dictionary is returned. The caller unpacks two loaders, training first, and from a dictionary would get its
    two keys."""
    return {"train": _loader(train_set, batch_size, shuffle=True), "test": _loader(test_set, batch_size)}


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def drops_both_last_batches(train_set, test_set, batch_size: int = 32):
    """`drop_last` leaves out the images that do not fill a batch, in training and in the test. Every image is asked
    for."""
    shuffled = _loader(train_set, batch_size, shuffle=True, drop_last=True)
    return shuffled, _loader(test_set, batch_size, drop_last=True)


@mistake(of="make_loaders", caught_by="test_last_batch_is_kept")
def drops_a_last_batch_of_one(train_set, test_set, batch_size: int = 32):
    """A last batch is dropped when it is a single image. Some networks cannot train on one; this one can, and every image
    is asked for."""
    lonely = len(train_set) % batch_size == 1
    return _loader(train_set, batch_size, shuffle=True, drop_last=lonely), _loader(test_set, batch_size)


@mistake(of="make_loaders", caught_by="test_every_image_once")
def flips_the_training_batches(train_set, test_set, batch_size: int = 32):
    """The loader changes the images that it brings: here they come mirrored. What is done to an image belongs in the
    transform; a loader puts images together."""

    def mirrored(pairs):
        images, labels = torch.utils.data.default_collate(pairs)
        return images.flip(-1), labels

    return _loader(train_set, batch_size, shuffle=True, collate_fn=mirrored), _loader(test_set, batch_size)


_loaders_made: dict[int, tuple[DataLoader, DataLoader]] = {}


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def keeps_loaders_from_before(train_set, test_set, batch_size: int = 32):
    """The loaders are kept outside the function, and a second call gets those of the first, with its data sets. Make new
    ones in each call."""
    if batch_size not in _loaders_made:
        _loaders_made[batch_size] = _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size)
    return _loaders_made[batch_size]


@mistake(of="make_loaders", caught_by="test_batch_size_by_default")
def takes_no_more_than_the_test_images(train_set, test_set, batch_size: int = 32):
    """Batches are never larger than the test set, in training either. Each loader's batch size is the one asked for; a
    set that is smaller makes one smaller batch."""
    size = min(batch_size, len(test_set))
    return _loader(train_set, size, shuffle=True), _loader(test_set, size)


@mistake(of="make_loaders", caught_by="test_two_loaders")
def forgets_to_return_the_loaders(train_set, test_set, batch_size: int = 32):
    """Nothing comes back: the loaders are made and the `return` is missing, so that a caller gets None."""
    _loader(train_set, batch_size, shuffle=True), _loader(test_set, batch_size)


# ---------------------------------------------------------------------------------------------------------------------
# parameter_shapes


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_the_counter_of_batches(net):
    """The running means and variances were left out of `state_dict()`, but batch norm has a third buffer: the counter
    `num_batches_tracked`. `net.parameters()` gives parameters alone."""
    return [tuple(tensor.shape) for name, tensor in net.state_dict().items() if "running" not in name]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_shared_weights")
def lists_buffers_too(net):
    """The list holds more shapes than the network has parameters: `state_dict()` also gives BatchNorm's running
    statistics, which are buffers."""
    return [tuple(tensor.shape) for tensor in net.state_dict().values()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_shapes_as_text(net):
    """Each shape is a piece of text. Text cannot be calculated with: a tuple of numbers is wanted."""
    return [str(tuple(parameter.shape)) for parameter in net.parameters()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_shapes_as_lists(net):
    """Each shape is a list. A tuple is wanted, as PyTorch itself gives it; a list is not equal to a tuple with the same
    numbers."""
    return [list(parameter.shape) for parameter in net.parameters()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_sizes_instead_of_shapes(net):
    """One number a tensor, the count of its scalars. The shape is wanted: a (64, 3, 7, 7) kernel says more than
    9,408."""
    return [parameter.numel() for parameter in net.parameters()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_names_with_shapes(net):
    """Each entry is a pair of a name and a shape. Only the shapes are asked for."""
    return [(name, tuple(parameter.shape)) for name, parameter in net.named_parameters()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def gives_shapes_in_a_dictionary(net):
    """A dictionary from names to shapes is returned. A list is asked for, one shape a parameter tensor in the network's
    own order."""
    return {name: tuple(parameter.shape) for name, parameter in net.named_parameters()}


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def gives_shapes_as_a_generator(net):
    """A generator is returned. It has no length, no first entry, and is used up after one look; a list is asked for."""
    return (tuple(parameter.shape) for parameter in net.parameters())


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def prints_shapes_and_returns_nothing(net):
    """The shapes are printed and the function gives None back. What a caller should work with has to be returned."""
    for parameter in net.parameters():
        print(tuple(parameter.shape))


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def sorts_the_shapes(net):
    """The shapes are sorted by size. They should stay in the network's order, so that the list can be read from the
    first layer to the last."""
    return sorted(tuple(parameter.shape) for parameter in net.parameters())


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def starts_from_the_last_layer(net):
    """The list runs from the last layer to the first. The network's own order is wanted."""
    return [tuple(parameter.shape) for parameter in net.parameters()][::-1]


@mistake(of="parameter_shapes", caught_by="test_shapes_in_network_order")
def lists_each_shape_once(net):
    """Equal shapes are listed only once. Many layers have the same shape, and each of their tensors counts."""
    return list(dict.fromkeys(tuple(parameter.shape) for parameter in net.parameters()))


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_kernels_only(net):
    """The one-dimensional parameters are left out. The scale and shift of each BatchNorm and the biases are trained
    as well."""
    return [tuple(parameter.shape) for parameter in net.parameters() if parameter.dim() > 1]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def lists_weights_without_biases(net):
    """Only tensors called `weight` are listed. A BatchNorm and a linear layer also have a `bias`."""
    return [tuple(parameter.shape) for name, parameter in net.named_parameters() if name.endswith("weight")]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def forgets_the_classifier_shapes(net):
    """The list ends before the classifier: only the feature part of the network was asked for its parameters."""
    return [tuple(parameter.shape) for parameter in net.features.parameters()]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_frozen_weights")
def leaves_frozen_shapes_out(net):
    """Parameters with `requires_grad` off are left out. A frozen tensor is still a parameter of the network and has a
    shape; only the *count* asks for the trainable ones."""
    return [tuple(parameter.shape) for parameter in net.parameters() if parameter.requires_grad]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_shared_weights")
def lists_shared_weights_twice(net):
    """A tensor that two layers share is listed twice. It is one parameter: it is stored once and trained once."""
    return [tuple(parameter.shape) for _, parameter in net.named_parameters(remove_duplicate=False)]


@mistake(of="parameter_shapes", caught_by="test_shapes_of_a_few_layers")
def reverses_each_shape(net):
    """Each shape is written back to front. PyTorch's order is wanted: output channels, input channels, height,
    width."""
    return [tuple(parameter.shape)[::-1] for parameter in net.parameters()]


# ---------------------------------------------------------------------------------------------------------------------
# count_parameters


def _trainable(net) -> list[nn.Parameter]:
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_buffers(net):
    """`state_dict()` also holds BatchNorm's running statistics (8,062,625 numbers for DenseNet-121). They are buffers:
    saved with the network, never trained."""
    return sum(tensor.numel() for tensor in net.state_dict().values())


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_tensors(net):
    """This counts tensors (364 in DenseNet-121). Each tensor holds many scalars, and those are asked for."""
    return len(_trainable(net))


@mistake(of="count_parameters", caught_by="test_shared_weights_count_once")
def counts_shared_weights_twice(net):
    """A weight that two layers share was counted once for each layer. It is stored once and trained once."""
    return sum(
        parameter.numel() for _, parameter in net.named_parameters(remove_duplicate=False) if parameter.requires_grad
    )


@mistake(of="count_parameters", caught_by="test_count_without_frozen_weights")
def counts_frozen_weights(net):
    """Frozen parameters were counted as well. Only what is trained is asked for: look at `requires_grad`."""
    return sum(parameter.numel() for parameter in net.parameters())


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_into_a_tensor(net):
    """The count is a tensor. A plain Python int is wanted, which prints, compares and saves as a number."""
    return torch.tensor([parameter.numel() for parameter in _trainable(net)]).sum()


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_with_numpy_integers(net):
    """The number is right, but of numpy's own type: `np.prod` gives np.int64, which is no Python int."""
    return sum(np.prod(parameter.shape) for parameter in _trainable(net))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_in_millions(net):
    """The count is in millions and rounded. The exact number of scalars is asked for."""
    return round(sum(parameter.numel() for parameter in _trainable(net)) / 1e6, 2)


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_as_text(net):
    """The count is a piece of text with commas. Return the number; commas belong where it is printed."""
    return f"{sum(parameter.numel() for parameter in _trainable(net)):,}"


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def prints_the_count_and_returns_nothing(net):
    """The count is printed and the function gives None back. What a caller should work with has to be returned."""
    print(sum(parameter.numel() for parameter in _trainable(net)))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_kernels_only(net):
    """The one-dimensional parameters are left out. The scale and shift of each BatchNorm and the biases are trained
    as well."""
    return sum(parameter.numel() for parameter in _trainable(net) if parameter.dim() > 1)


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_weights_without_biases(net):
    """Only tensors called `weight` are counted. A BatchNorm and a linear layer also have a `bias`."""
    return sum(p.numel() for name, p in net.named_parameters() if p.requires_grad and name.endswith("weight"))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_convolutions_and_linear_layers(net):
    """Only convolutions and linear layers are counted. A BatchNorm has two trained numbers a channel, and DenseNet has
    a BatchNorm before every convolution."""
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return sum(parameter.numel() for parameter in {p for layer in layers for p in _trainable(layer)})


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def forgets_the_classifier_scalars(net):
    """The classifier is left out: only the feature part of the network was asked for its parameters."""
    return sum(parameter.numel() for parameter in _trainable(net.features))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_rows(net):
    """`len` of a tensor is the length of its first axis only. A (64, 3, 7, 7) kernel holds 9,408 scalars, not 64."""
    return sum(len(parameter) for parameter in _trainable(net))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def adds_up_the_sides(net):
    """The sides of each shape are added. A tensor of shape (64, 3, 7, 7) holds 64 × 3 × 7 × 7 scalars: multiply."""
    return sum(sum(parameter.shape) for parameter in _trainable(net))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_bytes(net):
    """This is the memory in bytes: each float32 scalar takes four. The number of scalars is asked for."""
    return sum(parameter.numel() * parameter.element_size() for parameter in _trainable(net))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_what_is_not_zero(net):
    """Parameters that are zero at the moment were left out. BatchNorm's shifts start at zero and are trained all the
    same."""
    return sum(int(parameter.count_nonzero()) for parameter in _trainable(net))


@mistake(of="count_parameters", caught_by="test_size_of_densenet121")
def counts_what_has_a_gradient(net):
    """Only parameters that hold a gradient are counted, and before the first backward pass none does. Trainable is
    another property: it is set before anything is trained."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.grad is not None)


@mistake(of="count_parameters", caught_by="test_shared_weights_count_once")
def writes_the_count_down(net):
    """DenseNet-121's own count is written down, whatever network is given. Count the network in the argument."""
    return 7_978_856


# ---------------------------------------------------------------------------------------------------------------------
# DenseLayer


class _Layer(nn.Module):
    """A right layer, for mistakes that change a part of it."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def squeezed(self, x):
        return self.conv1(F.relu(self.norm1(x)))

    def new(self, x):
        return self.conv2(F.relu(self.norm2(self.squeezed(x))))

    def forward(self, x):
        return torch.cat([x, self.new(x)], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class AddsInsteadOfConcatenating(nn.Module):
    """The new channels are added to the old ones, as in ResNet. A dense layer puts them beside: look for what joins two
    tensors along the axis of the channels."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class AddsChannelsOfAnotherNumber(_Layer):
    """`+` needs as many channels on both sides, and a dense layer has `channels` on the one, `growth` on the other. They
    are put beside each other, not added."""

    def forward(self, x):
        return x + self.new(x)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class PutsNewChannelsInFront(_Layer):
    """The new channels stand in front of the input. The order counts: the next layer's weights are in the order of what
    they read, the input first."""

    def forward(self, x):
        return torch.cat([self.new(x), x], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class ReturnsOnlyTheNewChannels(_Layer):
    """Only the new channels come back, and what came in is lost to all later layers. Put them behind the input."""

    def forward(self, x):
        return self.new(x)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class JoinsTheBatches(_Layer):
    """`torch.cat` joins along the first axis unless told otherwise, and that is the batch. Channels are another axis."""

    def forward(self, x):
        return torch.cat([x, self.new(x)])


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class KeepsTheNormalisedInput(_Layer):
    """In front of the result stands the input after batch norm and ReLU. The input itself belongs there, negative values
    and all: look at which name is used a second time."""

    def forward(self, x):
        x = F.relu(self.norm1(x))
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(x))))], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class CutsBeforeTheSecondNorm(_Layer):
    """Before the 3 × 3 convolution ReLU comes first and batch norm after it. The order is the same in both halves: batch
    norm, ReLU, convolution."""

    def new(self, x):
        return self.conv2(self.norm2(F.relu(self.squeezed(x))))


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class CutsTheInputInPlace(_Layer):
    """The ReLU works in place on the input itself and sets its negative values to 0, for all later layers too. What works
    in place (`inplace=True`, an underscore at the end) must not get `x`."""

    def forward(self, x):
        new = self.new(x)
        return torch.cat([x.relu_(), new], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class NormalisesTheInputInPlace(_Layer):
    """The result is right, but `x` is not what it was: its values are written over in `forward`. It belongs to the caller,
    and other layers read it."""

    def forward(self, x):
        result = torch.cat([x, self.new(x)], 1)
        with torch.no_grad():
            x.copy_(self.norm1.eval()(x))
        self.norm1.train(self.training)
        return result


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class CutsTheInputFirst(_Layer):
    """The first ReLU comes before the first batch norm. The order is batch norm, ReLU, convolution."""

    def squeezed(self, x):
        return self.conv1(self.norm1(F.relu(x)))


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class ConvolvesBeforeNormalising(nn.Module):
    """The convolutions come before the batch norms, as in older networks. A dense layer normalises what it reads, then
    ReLU, then convolution: so `norm1` has as many channels as come in."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(growth)

    def forward(self, x):
        squeezed = F.relu(self.norm1(self.conv1(x)))
        return torch.cat([x, F.relu(self.norm2(self.conv2(squeezed)))], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class HasBiases(_Layer):
    """The convolutions have biases. A batch norm follows each, or the next layer's does, and takes any constant away
    again: neither torchvision's layer nor its weights have them."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class HasABiasBehind(_Layer):
    """The 3 × 3 convolution has a bias still. Neither convolution of a dense layer has one: look at what `nn.Conv2d` does
    unless it is told."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class WritesThirtyTwoDown(_Layer):
    """The layer writes 32 channels, whatever growth is asked for. Look for a number where `growth` belongs."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, 32, bottleneck)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SqueezesToFourTimesTheGrowth(_Layer):
    """The 1 × 1 convolution always gives four times `growth` channels: the argument `bottleneck` is never used."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, 4)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SqueezesTo128(_Layer):
    """The 1 × 1 convolution gives 128 channels, right for DenseNet-121 alone. The number follows from `bottleneck` and
    `growth`."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, 128, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(128)
        self.conv2 = nn.Conv2d(128, growth, 3, padding=1, bias=False)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SqueezesToTheBottleneckAlone(_Layer):
    """The 1 × 1 convolution gives `bottleneck` channels. It is to give `bottleneck` *times* `growth`: the argument is a
    factor."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, bottleneck, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck)
        self.conv2 = nn.Conv2d(bottleneck, growth, 3, padding=1, bias=False)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SqueezesTheChannelsThatCome(_Layer):
    """The 1 × 1 convolution gives `bottleneck` times the channels that come in, so the layer grows with the stack. It is
    `bottleneck` times `growth`, the same for every layer."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, bottleneck * channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * channels)
        self.conv2 = nn.Conv2d(bottleneck * channels, growth, 3, padding=1, bias=False)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class NormalisesTheWrongWidth(_Layer):
    """`norm2` is made for the channels that come into the layer. It normalises what `conv1` gives: look at how many
    channels those are."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.norm2 = nn.BatchNorm2d(channels)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SharesOneNorm(_Layer):
    """One batch norm is used twice. Each normalises other channels, with weights and running statistics of its own."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.norm2 = self.norm1


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsToPad(_Layer):
    """A 3 × 3 convolution without padding takes a pixel away at each edge, so its result does not fit beside the input."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, bias=False)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class PadsTheWrongConvolution(_Layer):
    """The padding is at the 1 × 1 convolution, which needs none, and not at the 3 × 3 one. Sizes fit by chance, since what
    the one adds the other takes; but the added pixels are normalised as well, and are no zeros then."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, padding=1, bias=False)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, bias=False)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class ConvolvesBothThreeByThree(_Layer):
    """Both convolutions are 3 × 3. The first only mixes channels, point by point: a kernel of 1 × 1, which is cheap."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 3, padding=1, bias=False)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class LeavesTheBottleneckOut(nn.Module):
    """There is one batch norm and one 3 × 3 convolution: the bottleneck is missing. The first three parts squeeze the
    channels, the other three write the new ones."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv1(F.relu(self.norm1(x)))], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsTheSecondReLU(_Layer):
    """There is no ReLU between the second batch norm and the 3 × 3 convolution."""

    def new(self, x):
        return self.conv2(self.norm2(self.squeezed(x)))


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsTheFirstReLU(_Layer):
    """There is no ReLU between the first batch norm and the 1 × 1 convolution."""

    def squeezed(self, x):
        return self.conv1(self.norm1(x))


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsBothReLUs(_Layer):
    """There is no ReLU at all. Without it two convolutions in a row are no more than one."""

    def new(self, x):
        return self.conv2(self.norm2(self.conv1(self.norm1(x))))


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class CutsWhatItWrites(_Layer):
    """A ReLU cuts the new channels. Later layers are to read them as they were written, negative values and all; each
    begins with a batch norm and a ReLU of its own."""

    def forward(self, x):
        return torch.cat([x, F.relu(self.new(x))], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsTheFirstNorm(_Layer):
    """`norm1` is made and never used: look at `forward`. Each convolution reads what was normalised."""

    def squeezed(self, x):
        return self.conv1(F.relu(x))


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class ForgetsTheSecondNorm(_Layer):
    """`norm2` is made and never used: look at `forward`. Each convolution reads what was normalised."""

    def new(self, x):
        return self.conv2(F.relu(self.squeezed(x)))


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class DropsInTraining(_Layer):
    """Dropout is left in: in training, some of the new channels' values are zero, others each time. DenseNet-121 has
    none."""

    def forward(self, x):
        return torch.cat([x, F.dropout(self.new(x), 0.2, self.training)], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class DropsAlways(_Layer):
    """`F.dropout` drops values in evaluation mode too, unless it is told that the layer is not training. DenseNet-121 has
    no dropout at all."""

    def forward(self, x):
        return torch.cat([x, F.dropout(self.new(x), 0.2)], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class CallsItsPartsByOtherNames(nn.Module):
    """The layer computes what it should, but its parts have names of their own, so torchvision's weights find no place.
    The attributes are to be called `norm1`, `conv1`, `norm2` and `conv2`."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.squeeze = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(bottleneck * growth)
        self.write = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.write(F.relu(self.bn2(self.squeeze(F.relu(self.bn1(x))))))], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class NumbersItsParts(nn.Module):
    """The parts lie in an `nn.Sequential` that numbers them, so torchvision's weights find no place. A `Sequential` made
    from an `OrderedDict` has names, but puts its own attribute's name before them: make the parts attributes of the layer."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, bottleneck * growth, 1, bias=False),
            nn.BatchNorm2d(bottleneck * growth),
            nn.ReLU(),
            nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x):
        return torch.cat([x, self.layers(x)], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class MakesItsPartsInForward(nn.Module):
    """The parts are made anew in each call of `forward`, with new random weights, so nothing is ever learnt. Make them
    once, in `__init__`."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__()
        self.channels, self.growth, self.squeezed = channels, growth, bottleneck * growth

    def forward(self, x):
        x1 = F.relu(nn.BatchNorm2d(self.channels)(x))
        x2 = F.relu(nn.BatchNorm2d(self.squeezed)(nn.Conv2d(self.channels, self.squeezed, 1, bias=False)(x1)))
        return torch.cat([x, nn.Conv2d(self.squeezed, self.growth, 3, padding=1, bias=False)(x2)], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class KeepsItsPartsInAList(_Layer):
    """The parts lie in a plain Python list, where PyTorch does not see them: they are neither trained, saved nor moved.
    Make each an attribute of the layer."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.parts = [self._modules.pop(name) for name in ("norm1", "conv1", "norm2", "conv2")]

    def forward(self, x):
        norm1, conv1, norm2, conv2 = self.parts
        return torch.cat([x, conv2(F.relu(norm2(conv1(F.relu(norm1(x))))))], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class IsNoModule:
    """The class does not inherit from `nn.Module`, so it has no parameters, no modes and no `state_dict`."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, bottleneck * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def __call__(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class ForgetsToCallSuper(nn.Module):
    """`super().__init__()` is missing: an `nn.Module` has to be set up before it can be given parts."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        self.norm1 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.cat([x, self.norm1(x)], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class PrintsAndReturnsNothing(_Layer):
    """`forward` returns nothing: the result is computed, and there is no `return`."""

    def forward(self, x):
        print(torch.cat([x, self.new(x)], 1).shape)


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class PassesNoGradientOn(_Layer):
    """The input is detached, so no gradient reaches the layers before this one, and they learn nothing. Only looking at a
    network calls for `detach`."""

    def forward(self, x):
        return super().forward(x.detach())


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class WritesWithoutGradients(_Layer):
    """The new channels are computed under `torch.no_grad()`: neither of the convolutions ever learns."""

    def new(self, x):
        with torch.no_grad():
            return super().new(x)


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class StaysInEvaluationMode(_Layer):
    """The batch norms are put into evaluation mode and stay there, so their running statistics never move. `train` and
    `eval` are the caller's."""

    def forward(self, x):
        self.norm1.eval()
        self.norm2.eval()
        return super().forward(x)


@mistake(of="DenseLayer", caught_by="test_new_channels_are_torchvisions")
class TakesTheBatchsStatisticsAlways(_Layer):
    """`forward` puts the layer into training mode, so batch norm takes the batch's own statistics while testing too. The
    mode is the caller's."""

    def forward(self, x):
        self.train()
        return super().forward(x)


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class MovesItsStatisticsAsKerasDoes(_Layer):
    """The batch norms have a `momentum` of 0.99, as Keras writes it, where it is the old statistics' weight. In PyTorch it is
    the newest batch's: 0.1 by default."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.norm1.momentum = self.norm2.momentum = 0.99


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class MovesItsStatisticsByNineTenths(_Layer):
    """The batch norms have a `momentum` of 0.9, which elsewhere is the old statistics' weight. In PyTorch it is the newest
    batch's: 0.1 by default."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.norm1.momentum = self.norm2.momentum = 0.9


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class KeepsNoRunningStatistics(_Layer):
    """The batch norms keep no running statistics (`track_running_stats=False`), so they have none in evaluation mode, and
    torchvision's find no place."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)
        self.norm1 = nn.BatchNorm2d(channels, track_running_stats=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth, track_running_stats=False)


@mistake(of="DenseLayer", caught_by="test_layer_learns")
class NormalisesTwice(_Layer):
    """`norm1` runs twice in each pass, the first time for nothing: its running statistics move twice. Look for a call whose
    result is not used."""

    def forward(self, x):
        self.norm1(x)
        return super().forward(x)


_norm = {}


@mistake(of="DenseLayer", caught_by="test_layers_are_alike_every_time")
class SharesItsPartsWithAllLayers(_Layer):
    """The convolution belongs to the class (or to a global), so all layers have one between them, and what one learns the
    others forget. Make the parts in `__init__`, each layer its own."""

    def forward(self, x):
        shared = _norm.setdefault(tuple(self.conv2.weight.shape), self.conv2)
        return torch.cat([x, shared(F.relu(self.norm2(self.squeezed(x))))], 1)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class GrowsByTwelveByDefault(_Layer):
    """Without a second argument the layer writes 12 channels, as in the paper's smaller networks. DenseNet-121 grows by
    32: look at the default in the first line of `__init__`."""

    def __init__(self, channels: int, growth: int = 12, bottleneck: int = 4):
        super().__init__(channels, growth, bottleneck)


@mistake(of="DenseLayer", caught_by="test_layer_has_torchvisions_names")
class SqueezesToTwiceTheGrowthByDefault(_Layer):
    """Without a third argument the bottleneck is 2. It is 4, as in DenseNet-121: look at the default in the first line of
    `__init__`."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 2):
        super().__init__(channels, growth, bottleneck)


@mistake(of="DenseLayer", caught_by="test_layers_of_any_width_write_torchvisions_channels")
class DropsAxesOfOne(_Layer):
    """`squeeze()` takes away every axis of length 1, also when that is the batch of one image or the height of one pixel."""

    def new(self, x):
        return super().new(x).squeeze()


@mistake(of="DenseLayer", caught_by="test_layers_are_alike_every_time")
class SeedsInForward(_Layer):
    """A seed is set in `forward`, so whatever is random afterwards (shuffling, dropout) is the same after every pass."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@mistake(of="DenseLayer", caught_by="test_layers_are_alike_every_time")
class SeedsInInit(_Layer):
    """A seed is set in `__init__`, so all layers of a network start from the same numbers. Random weights are random."""

    def __init__(self, channels: int, growth: int = 32, bottleneck: int = 4):
        torch.manual_seed(40)
        super().__init__(channels, growth, bottleneck)


@mistake(of="DenseLayer", caught_by="test_layer_on_an_accelerator")
class JoinsOnTheCpu(_Layer):
    """A tensor that is made in `forward` lies on the CPU, wherever the layer and its input are. Make it with
    `device=x.device`, or from `x` itself."""

    def forward(self, x):
        new = self.new(x)
        stack = torch.zeros(x.shape[0], x.shape[1] + new.shape[1], *x.shape[2:])
        return stack + torch.cat([x, new], 1)


@mistake(of="DenseLayer", caught_by="test_new_channels_come_behind_the_input")
class CutsTheInputInTraining(_Layer):
    """In training mode the input is written over, in place. `x` belongs to the caller in both modes."""

    def forward(self, x):
        new = self.new(x)
        if self.training:
            x = x.relu_()
        return torch.cat([x, new], 1)


# ---------------------------------------------------------------------------------------------------------------------
# replace_classifier: what is DenseNet's own; the others are shared


@mistake(of="replace_classifier", caught_by="test_scores_for_the_classes_asked_for")
def writes_1024_down(net, num_classes: int = 10):
    """1024 is the width of DenseNet-121 and is written down. A DenseNet of another size has another width, and the
    network itself knows it."""
    net.classifier = nn.Linear(1024, num_classes, device=net.classifier.weight.device)
    return net


@mistake(of="replace_classifier", caught_by="test_same_network_comes_back")
def builds_a_new_network(net, num_classes: int = 10):
    """Another network is returned (a new DenseNet-121, or one that another cell left behind), and the given one is not
    changed, with all that it has learned. Change the network in the argument."""
    return models.densenet121(num_classes=num_classes)


# ---------------------------------------------------------------------------------------------------------------------
# snapshot_weights


def _named(net) -> dict[str, torch.Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone()


@mistake(of="snapshot_weights", caught_by="test_snapshot_outlives_a_step")
def keeps_the_data(net, names):
    """What was kept is the weight's own memory under another name (`.data`, `.detach()` and, on the CPU, `.cpu()` copy
    nothing), so the "before" picture changes with the training and every difference is zero."""
    weights = _named(net)
    return {name: weights[name].data for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_outlives_a_step")
def detaches_without_a_copy(net, names):
    """`.detach()` leaves the graph but not the memory, and `.cpu()` copies only what is not on the CPU yet. On a
    machine without a GPU the snapshot changes with the training."""
    weights = _named(net)
    return {name: weights[name].detach().cpu() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_outlives_a_step")
def looks_through_numpy(net, names):
    """`.numpy()` is a second view of the same memory, so later training changes the snapshot. It also gives arrays,
    where tensors are asked for."""
    weights = _named(net)
    return {name: weights[name].detach().cpu().numpy() for name in names}


@mistake(of="snapshot_weights", caught_by=("test_snapshot_outlives_a_step", "test_snapshot_has_the_weights"))
def keeps_the_state_dict(net, names):
    """`dict(net.state_dict())` copies the list of names, not the weights: the tensors are the network's own and change
    with the training. It also holds every name, not just those asked for."""
    return dict(net.state_dict())


@mistake(of="snapshot_weights", caught_by="test_snapshot_outlives_a_step")
def keeps_the_parameters_themselves(net, names):
    """The dictionary holds the network's own parameters. Training changes them in place, so "before" and "after" are
    the same."""
    weights = dict(net.named_parameters())
    return {name: weights[name] for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshots_are_detached")
def clones_without_detaching(net, names):
    """The copies still belong to the graph (`requires_grad` is on). A snapshot is for looking at: it should not be
    differentiated, nor keep the graph alive."""
    weights = _named(net)
    return {name: weights[name].cpu().clone() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshots_are_on_the_cpu")
def leaves_the_copies_on_the_gpu(net, names):
    """The copies stay on the network's device. On a GPU they take memory there, and cannot be drawn; they should be on
    the CPU."""
    weights = _named(net)
    return {name: weights[name].detach().clone() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshots_are_on_the_cpu")
def moves_the_network_to_the_cpu(net, names):
    """The whole network was moved to the CPU to copy a few weights, and stays there. The next batch on the GPU then
    fails: move the copies, not the network."""
    weights = _named(net.cpu())
    return {name: weights[name].detach().clone() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshots_are_detached")
def detaches_the_network_in_place(net, names):
    """The network's own parameters no longer require gradients, and these layers are not trained any more: an underscore,
    as in `detach_` or `requires_grad_`, means "in place"."""
    weights = _named(net)
    return {name: weights[name].detach_().cpu().clone() for name in names}


@mistake(of="snapshot_weights", caught_by="test_unknown_names_raise_key_error")
def skips_unknown_names(net, names):
    """A name that the network does not have is passed over in silence, and a typing error is noticed only when the
    weight is missing later. It should raise KeyError."""
    return {name: _copied(weight) for name, weight in _named(net).items() if name in names}


@mistake(of="snapshot_weights", caught_by="test_unknown_name_raises")
def raises_attribute_errors(net, names):
    """`get_parameter` (or `getattr`) raises an AttributeError for a name that it does not know. A KeyError is asked for,
    which a dict of the named parameters raises by itself."""
    return {name: _copied(net.get_parameter(name)) for name in names}


@mistake(of="snapshot_weights", caught_by="test_unknown_names_raise_key_error")
def gets_none_for_unknown_names(net, names):
    """A name that the network does not have gives None, and the error comes one step later as an AttributeError that
    does not tell the name. It should be a KeyError."""
    weights = _named(net)
    return {name: _copied(weights.get(name)) for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def copies_every_weight(net, names):
    """Every weight of the network is copied, for DenseNet-121 eight million numbers each time. Only the given names are
    asked for."""
    weights = _named(net)
    if unknown := set(names) - set(weights):
        raise KeyError(*unknown)
    return {name: _copied(weight) for name, weight in weights.items()}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def watches_only_the_lectures_weights(net, names):
    """The two names of the lecture are written down and the argument `names` is not used."""
    weights = _named(net)
    watched = ("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight")
    return {name: _copied(weights[name]) for name in watched}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def shortens_the_names(net, names):
    """The names are cut at the last dot. Many layers have a `weight`, and with this name each replaces the one before.
    Keep the names as they are given."""
    weights = _named(net)
    return {name.split(".")[-1]: _copied(weights[name]) for name in names}


@mistake(of="snapshot_weights", caught_by="test_unknown_names_raise_key_error")
def matches_parts_of_names(net, names):
    """A weight is taken when the given name occurs anywhere in its own, so `conv1.weight` finds dozens, and a name that
    is not there raises no KeyError. The whole name should agree."""
    return {full: _copied(weight) for full, weight in _named(net).items() if any(name in full for name in names)}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def lists_the_copies(net, names):
    """The copies come in a list. A dictionary is asked for, so that each weight can be found by its name."""
    weights = _named(net)
    return [_copied(weights[name]) for name in names]


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def turns_weights_into_lists(net, names):
    """The values are nested lists of numbers. They have no shape and cannot be subtracted; tensors are asked for."""
    weights = _named(net)
    return {name: weights[name].tolist() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def rounds_to_half_precision(net, names):
    """The copies are float16, and the rounding is larger than what a few steps of training change. A copy should have
    the same type and the same values."""
    weights = _named(net)
    return {name: _copied(weights[name]).half() for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshots_of_the_names_given")
def shares_one_dictionary(net, names, snapshot={}):  # noqa: B006
    """A default value `{}` is made once, when the function is defined, and shared by all calls: the second snapshot
    overwrites the first, and their difference is zero. Make the dictionary inside the function."""
    weights = _named(net)
    for name in names:
        snapshot[name] = _copied(weights[name])
    return snapshot


@mistake(of="snapshot_weights", caught_by="test_snapshots_are_detached")
def thaws_what_it_copies(net, names):
    """The network is frozen for the copying and thawed after it, all of it: what was frozen before now learns. Copying
    needs neither."""
    net.requires_grad_(False)
    copies = {name: _copied(weight) for name, weight in _named(net).items() if name in names}
    net.requires_grad_(True)
    return {name: copies[name] for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def forgets_to_return_the_copies(net, names):
    """Nothing comes back: the copies are made and the `return` is missing, so that a caller gets None."""
    weights = _named(net)
    {name: _copied(weights[name]) for name in names}


@mistake(of="snapshot_weights", caught_by="test_snapshot_has_the_weights")
def keeps_numpy_arrays(net, names):
    """The copies are numpy arrays. Tensors are asked for: differences and pictures are made of them later."""
    weights = _named(net)
    return {name: _copied(weights[name]).numpy() for name in names}


# ---------------------------------------------------------------------------------------------------------------------
# weight_difference


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def subtracts_before_from_after(before, after):
    """The sign is turned round: this is after − before. The lecture shows before − after."""
    return {name: after[name] - before[name] for name in before}


@mistake(of="weight_difference", caught_by="test_difference_leaves_its_arguments")
def subtracts_in_place(before, after):
    """The subtraction is done in place, so the dictionary `before` holds the differences afterwards and the weights
    before the training are lost. Both arguments should stay as they were."""
    for name in before:
        before[name] -= after[name]
    return before


@mistake(of="weight_difference", caught_by="test_difference_leaves_its_arguments")
def negates_after_in_place(before, after):
    """The weights in `after` are overwritten: a method with an underscore at its end works in place, and `out=` names what
    is written into. Both arguments should stay as they were."""
    return {name: after[name].neg_().add_(before[name]) for name in before}


@mistake(of="weight_difference", caught_by="test_difference_leaves_its_arguments")
def pops_the_weights(before, after):
    """`pop` takes each weight out of the dictionary `after`, which is empty in the end. Both arguments should stay as
    they were."""
    return {name: weight - after.pop(name) for name, weight in before.items()}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def takes_the_absolute_difference(before, after):
    """The sign is lost: an absolute value was taken. Whether a weight grew or shrank is part of the answer."""
    return {name: (before[name] - after[name]).abs() for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def squares_the_difference(before, after):
    """The differences are squared, as in an error measure. The plain difference is asked for."""
    return {name: (before[name] - after[name]) ** 2 for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def divides_by_the_weights(before, after):
    """The difference is divided by the weights, which makes it enormous where a weight was near zero. The plain
    difference is asked for."""
    return {name: (before[name] - after[name]) / before[name] for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def cuts_negative_differences(before, after):
    """Negative differences are set to zero: every weight that grew seems unchanged. Keep the sign here; scaling for
    display is the task of `weight_grid`."""
    return {name: (before[name] - after[name]).clamp(min=0) for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def stretches_the_difference(before, after):
    """The differences are stretched to [0, 1], so that neither their size nor their sign can be read. Scaling for
    display is the task of `weight_grid`."""

    def stretch(difference):
        return (difference - difference.min()) / (difference.max() - difference.min()).clamp(min=1e-12)

    return {name: stretch(before[name] - after[name]) for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def rounds_the_difference(before, after):
    """The differences are rounded to three decimals, and a few steps of training change weights by less than that.
    Round where you print, not where you compute."""
    return {name: ((before[name] - after[name]) * 1000).round() / 1000 for name in before}


@mistake(of="weight_difference", caught_by="test_difference_of_any_names")
def leaves_out_unchanged_weights(before, after):
    """Weights that did not change are left out. A difference of zero is an answer too: the result should have the same
    names."""
    differences = {name: before[name] - after[name] for name in before}
    return {name: difference for name, difference in differences.items() if difference.any()}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def averages_the_difference(before, after):
    """One number a weight is left, the mean of the differences, in which growth and decline cancel. The difference has
    the shape of the weight."""
    return {name: (before[name] - after[name]).mean() for name in before}


@mistake(of="weight_difference", caught_by="test_differences_are_matched_by_name")
def matches_by_position(before, after):
    """The first weight of one dictionary is subtracted from the first of the other, whatever their names. The two may
    list them in another order: match by name."""
    return {name: old - new for (name, old), new in zip(before.items(), after.values(), strict=False)}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def stops_after_the_first_name(before, after):
    """Only the first weight is in the result: the `return` stands inside the loop. Look at its indentation."""
    differences = {}
    for name in before:
        differences[name] = before[name] - after[name]
        return differences


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def lists_the_differences(before, after):
    """The differences come in a list. A dictionary with the same names is asked for."""
    return [before[name] - after[name] for name in before]


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def renames_the_differences(before, after):
    """The names in the result have an ending added. Keep the names as they are, so that a difference is found under
    the name of its weight."""
    return {name + "_difference": before[name] - after[name] for name in before}


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def compares_only_the_lectures_weights(before, after):
    """The two names of the lecture are written down. The names are those in the arguments, whatever they are."""
    watched = ("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight")
    return {name: before[name] - after[name] for name in watched}


@mistake(of="weight_difference", caught_by="test_difference_leaves_its_arguments")
def writes_into_after(before, after):
    """The differences are written into the dictionary `after`, and the weights after the training are lost. Put them
    into a new one: both arguments should stay as they were."""
    for name in before:
        after[name] = before[name] - after[name]
    return after


@mistake(of="weight_difference", caught_by="test_difference_of_any_names")
def drops_axes_of_one(before, after):
    """The difference has lost its axes of length 1. A kernel of 1 × 1 pixels has four axes like every other; the shape
    stays as it is."""
    return {name: (before[name] - after[name]).squeeze() for name in before}


@mistake(of="weight_difference", caught_by="test_difference_of_any_names")
def adds_to_the_last_difference(before, after, difference={}):  # noqa: B006
    """The dictionary of the result is a default value and so the same at every call: the names of earlier calls stay in
    it. Make a new one inside."""
    for name in before:
        difference[name] = before[name] - after[name]
    return difference


@mistake(of="weight_difference", caught_by="test_before_minus_after")
def forgets_to_return_the_differences(before, after):
    """Nothing comes back: the differences are made and the `return` is missing, so that a caller gets None."""
    {name: before[name] - after[name] for name in before}


# ---------------------------------------------------------------------------------------------------------------------
# weight_grid


def _patches(weight: torch.Tensor) -> torch.Tensor:
    """(N, 3 or 1, h, w): the kernels as colour patches, or the patches of the first kernel in grey."""
    return weight.detach().cpu() if weight.shape[1] == 3 else weight[0].detach().cpu().unsqueeze(1)


def _kernel_grid(patches: torch.Tensor, **settings) -> torch.Tensor:
    return make_grid(patches, **{"nrow": 8, "normalize": True, **settings})


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def scales_each_patch(weight):
    """Each patch is stretched to [0, 1] by itself, so a weak kernel looks as strong as any other. All patches should be
    scaled together: look at `scale_each`."""
    return _kernel_grid(_patches(weight), scale_each=True)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def forgets_to_scale(weight):
    """The weights are shown as they are. They lie around zero, and an image's values between 0 and 1, so the negative
    half would be black."""
    return _kernel_grid(_patches(weight), normalize=False)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def scales_the_finished_grid(weight):
    """The grid was scaled when it was finished, so that its padding, which is 0, takes part and becomes grey. Scale the
    weights first, or let `make_grid` do it: `normalize=True`."""
    grid = _kernel_grid(_patches(weight), normalize=False)
    return (grid - grid.min()) / (grid.max() - grid.min())


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def divides_by_the_maximum(weight):
    """The lowest weight was subtracted, but then divided by the highest instead of by the range between the two. The
    brightest pixel should be 1."""
    patches = _patches(weight)
    return _kernel_grid((patches - patches.min()) / patches.max(), normalize=False)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def centres_zero_in_grey(weight):
    """The weights were divided by their largest size so that zero is mid-grey. That is a good picture, but not the one
    asked for: the lowest weight should be 0 and the highest 1."""
    patches = _patches(weight)
    return _kernel_grid(0.5 + patches / (2 * patches.abs().max()), normalize=False)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def scales_each_colour(weight):
    """Red, green and blue are stretched separately, which changes the colours. One lowest and one highest value should
    hold for all the picture."""
    patches = _patches(weight)
    low, high = patches.amin(dim=(0, 2, 3), keepdim=True), patches.amax(dim=(0, 2, 3), keepdim=True)
    return _kernel_grid((patches - low) / (high - low), normalize=False)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def puts_sixteen_in_a_row(weight):
    """There are sixteen patches to a row, where eight are asked for. `nrow` is the number of patches *in* a row."""
    return _kernel_grid(_patches(weight), nrow=16)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def makes_eight_rows(weight):
    """`nrow` was taken for the number of rows. It is the number of patches in a row: with 64 kernels both are 8, with
    any other number they differ."""
    patches = _patches(weight)
    return _kernel_grid(patches, nrow=max(1, -(-len(patches) // 8)))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def fills_column_by_column(weight):
    """The patches run down the columns. They should be read like text: the second patch stands to the right of the
    first."""
    patches = _patches(weight)
    rows = -(-len(patches) // 8)
    order = [column * rows + row for row in range(rows) for column in range(8)]
    blank = patches.min().expand_as(patches[0])
    return _kernel_grid(torch.stack([patches[i] if i < len(patches) else blank for i in order]))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def leaves_no_padding(weight):
    """The patches touch each other, so that one cannot tell where a kernel ends. Two pixels of padding are asked
    for."""
    return _kernel_grid(_patches(weight), padding=0)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def pads_with_one_pixel(weight):
    """One pixel of padding separates the patches; two are asked for."""
    return _kernel_grid(_patches(weight), padding=1)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def pads_in_white(weight):
    """The space between the patches is white. `make_grid` leaves it black unless told otherwise, and that is the
    picture asked for."""
    return _kernel_grid(_patches(weight), pad_value=1.0)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def turns_colour_kernels_grey(weight):
    """The kernels of the first layer are averaged over red, green and blue. They read colours, and the colours are
    what one wants to see."""
    patches = _patches(weight)
    return _kernel_grid(patches.mean(dim=1, keepdim=True))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def shows_one_colour_kernel(weight):
    """A (K, 3, h, w) weight is shown as three grey patches of its first kernel. Kernels that read an RGB image are K
    colour patches."""
    return _kernel_grid(weight[0].detach().cpu().unsqueeze(1))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def tells_colour_by_the_number_of_kernels(weight):
    """Whether a weight is shown in colour was decided by the wrong axis: the first counts the kernels, the second the
    channels that each reads."""
    return _kernel_grid(weight.detach().cpu() if weight.shape[0] == 3 else weight[0].detach().cpu().unsqueeze(1))


@mistake(of="weight_grid", caught_by="test_only_the_first_kernel_in_grey")
def takes_two_channels_for_colours(weight):
    """A layer that reads another number of channels than three is treated as if it read colours. Only three are colours:
    of every other layer the first kernel is shown in grey."""
    return _kernel_grid(weight.detach().cpu() if weight.shape[1] <= 3 else weight[0].detach().cpu().unsqueeze(1))


@mistake(of="weight_grid", caught_by="test_only_the_first_kernel_in_grey")
def shows_all_kernels_of_one_channel(weight):
    """Kernels that read a single channel are all shown, as if they were grey pictures. Only those that read three are: of
    every other layer the channels of the first kernel are shown, be it one."""
    return _kernel_grid(weight.detach().cpu() if weight.shape[1] in (1, 3) else _patches(weight))


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def takes_three_channels_for_colours(weight):
    """The first three channels of a deeper layer are shown as red, green and blue. They are feature maps, not colours:
    show the patches of the first kernel in grey."""
    patches = weight[:, :3].detach().cpu() if weight.shape[1] >= 3 else _patches(weight)
    return _kernel_grid(patches)


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def shows_the_first_channel_of_every_kernel(weight):
    """A deeper layer is shown by the first channel of all its kernels. The other way is asked for: all channels of its
    first kernel."""
    return _kernel_grid(weight.detach().cpu() if weight.shape[1] == 3 else weight[:, :1].detach().cpu())


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def shows_the_last_kernel(weight):
    """The patches of the last kernel are shown; those of the first are asked for."""
    return _kernel_grid(weight.detach().cpu() if weight.shape[1] == 3 else weight[-1].detach().cpu().unsqueeze(1))


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def shows_every_patch_of_every_kernel(weight):
    """All patches of all kernels are shown, thousands in a deeper layer. Only those of its first kernel are asked
    for."""
    flat = weight.detach().cpu()
    return _kernel_grid(flat if flat.shape[1] == 3 else flat.reshape(-1, 1, *flat.shape[2:]))


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def averages_each_kernel(weight):
    """Each kernel of a deeper layer is averaged over its channels. The separate patches of the first kernel are asked
    for."""
    weight = weight.detach().cpu()
    return _kernel_grid(weight if weight.shape[1] == 3 else weight.mean(dim=1, keepdim=True))


@mistake(of="weight_grid", caught_by="test_grid_leaves_the_weight")
def scales_the_weight_itself(weight):
    """The scaling is done in place, so the weight that was handed in is changed, and with it the network or the
    snapshot that it belongs to. Scale a copy."""
    weight = weight.detach()
    patches = weight if weight.shape[1] == 3 else weight[0].unsqueeze(1)
    patches -= patches.min().clone()
    patches /= patches.max().clone()
    return _kernel_grid(patches, normalize=False)


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def puts_channels_last(weight):
    """The shape is (height, width, 3), as matplotlib wants it. The image tensor asked for has the channels first; turn
    it where you draw it."""
    return _kernel_grid(_patches(weight)).permute(1, 2, 0)


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def gives_a_single_channel(weight):
    """The grey picture has one channel. An image tensor with three is asked for in both cases, so that both are drawn
    alike."""
    grid = _kernel_grid(_patches(weight))
    return grid if weight.shape[1] == 3 else grid[:1]


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def gives_bytes(weight):
    """The values are bytes from 0 to 255. Floats in [0, 1] are asked for."""
    return (_kernel_grid(_patches(weight)) * 255).round().to(torch.uint8)


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def gives_a_numpy_array(weight):
    """A numpy array is returned. An image tensor is asked for; matplotlib takes either."""
    return _kernel_grid(_patches(weight)).numpy()


@mistake(of="weight_grid", caught_by="test_grid_of_a_deeper_layer")
def enlarges_the_grid(weight):
    """The picture is enlarged before it is returned. One pixel a weight is asked for; how large it is drawn is the
    figure's affair."""
    return _kernel_grid(_patches(weight).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def turns_the_patches_over(weight):
    """Every patch lies on its side: height and width have changed places. A square kernel hides that in its shape, not
    in its pixels."""
    return _kernel_grid(_patches(weight).transpose(2, 3))


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def expects_64_kernels(weight):
    """The grid is laid out for 8 × 8 kernels, as in the first layer of DenseNet-121. Other layers and other networks
    have another number: the last row may be partly empty."""
    patches = _patches(weight)
    _, channels, height, width = patches.shape
    rows = patches.reshape(8, 8, channels, height, width)
    return _kernel_grid(rows.flatten(0, 1))


@mistake(of="weight_grid", caught_by="test_grids_of_any_number")
def shows_no_more_than_64(weight):
    """The picture ends after 64 patches. DenseNet-121's first layer has as many kernels; other layers have more."""
    return _kernel_grid(_patches(weight)[:64])


@mistake(of="weight_grid", caught_by="test_grid_leaves_the_weight")
def asks_for_gradients_of_the_weight(weight):
    """The weight that was given asks for gradients afterwards, and did not before. A method whose name ends in an
    underscore changes the tensor itself."""
    patches = weight.requires_grad_().detach()
    return make_grid(patches if patches.shape[1] == 3 else patches[0].unsqueeze(1), nrow=8, normalize=True)


@mistake(of="weight_difference", caught_by="test_difference_leaves_its_arguments")
def asks_for_gradients_of_the_snapshots(before, after):
    """The snapshots that were given ask for gradients afterwards, and did not before. A method whose name ends in an
    underscore changes the tensor itself."""
    return {name: (weight.requires_grad_() - after[name].requires_grad_()).detach() for name, weight in before.items()}


@mistake(of="weight_grid", caught_by="test_grid_of_colour_kernels")
def forgets_to_return_the_grid(weight):
    """Nothing comes back: the picture is made and the `return` is missing, so that a caller gets None."""
    make_grid(_patches(weight), nrow=8, normalize=True)


# ---------------------------------------------------------------------------------------------------------------------
# pick_device


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def always_takes_cuda():
    """The GPU is chosen without asking whether there is one (or the brackets after `is_available` are missing, or the
    question was what PyTorch was built for). On a laptop the first tensor then fails."""
    return torch.device("cuda")


@mistake(of="pick_device", caught_by="test_accelerator_where_there_is_one")
def always_takes_the_cpu():
    """The CPU is chosen even where there is a GPU, and the lecture's hour and a half becomes days."""
    return torch.device("cpu")


@mistake(of="pick_device", caught_by=("test_device_of_a_laptop", "test_accelerator_where_there_is_one"))
def turns_the_question_round():
    """The two answers have changed places: the CPU where there is a GPU, the GPU where there is none."""
    return torch.device("cpu" if torch.cuda.is_available() else "cuda")


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def names_the_device():
    """A piece of text is returned. PyTorch often takes one, but text has no `.type` and is not equal to a device;
    a `torch.device` is asked for."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def says_whether_there_is_a_gpu():
    """True or False is returned: whether there is a GPU, not which device to use."""
    return torch.cuda.is_available()


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def returns_nothing_without_a_gpu():
    """Without a GPU nothing is returned: the `if` has no other branch. Then the CPU should be chosen."""
    if torch.cuda.is_available():
        return torch.device("cuda")


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def insists_on_a_gpu():
    """Without a GPU the function stops with an error. The assignment can be worked on a CPU: choose that."""
    if not torch.cuda.is_available():
        raise RuntimeError("this notebook needs a GPU")
    return torch.device("cuda")


@mistake(of="pick_device", caught_by="test_accelerator_where_there_is_one")
def takes_the_second_gpu():
    """The second GPU is chosen, perhaps from a line written on a large server. Most machines have one GPU, number 0."""
    return torch.device("cuda:1" if torch.cuda.is_available() else "cpu")


@mistake(of="pick_device", caught_by="test_accelerator_where_there_is_one")
def overwrites_the_gpu():
    """PyTorch said that there is a GPU, and the CPU was chosen all the same. Often the answer to a second question writes
    over what the first one found: it should be asked only when that was answered with no."""
    if torch.cuda.is_available():
        device = torch.device("cuda")
    if torch.backends.mps.is_available():  # noqa: SIM108
        device = torch.device("mps")
    else:
        device = torch.device("cpu")
    return device


@mistake(of="pick_device", caught_by="test_device_of_a_laptop")
def prints_the_device():
    """The device is printed and nothing is returned, so whoever calls the function gets None."""
    print(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


# ---------------------------------------------------------------------------------------------------------------------
# train_one_epoch

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Seen = list[tuple[float, int, int]]  # of each batch: mean loss, images put in the right class, images


def _log_probabilities(scores: torch.Tensor) -> torch.Tensor:
    return F.log_softmax(scores, dim=1)


def _on(device: torch.device, loader: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for images, labels in loader:
        yield images.to(device), labels.to(device)


def _likeliest(scores: torch.Tensor, labels: torch.Tensor) -> int:
    return (scores.argmax(dim=1) == labels).sum().item()


def _likelier_than_not(scores: torch.Tensor, labels: torch.Tensor) -> int:
    return (F.softmax(scores, dim=1).gather(1, labels.unsqueeze(1)) > 0.5).sum().item()


def _run(
    net,
    batches: Batches,
    criterion,
    step: Callable | None = None,
    scoring: Callable = _log_probabilities,
    counting: Callable = _likeliest,
) -> Seen:
    """Sends the batches through the network; `step(loss)` trains on each."""
    seen = []
    for images, labels in batches:
        scores = net(images)
        loss = criterion(scoring(scores), labels)
        if step is not None:
            step(loss)
        seen.append((loss.item(), counting(scores, labels), len(labels)))
    return seen


def _stepping(optimizer) -> Callable[[torch.Tensor], None]:
    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _trained(net, loader: Batches, criterion, optimizer, device, **settings) -> Seen:
    net.train()
    return _run(net, _on(device, loader), criterion, _stepping(optimizer), **settings)


def _total_loss(seen: Seen) -> float:
    return sum(loss * count for loss, _, count in seen)


def _total_right(seen: Seen) -> int:
    return sum(right for _, right, _ in seen)


def _images(seen: Seen) -> int:
    return sum(count for _, _, count in seen)


def _figures(seen: Seen) -> tuple[float, float]:
    return _total_loss(seen) / _images(seen), _total_right(seen) / _images(seen)


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def never_clears_the_gradients(net, loader, criterion, optimizer, device):
    """The gradients of earlier batches are never cleared: PyTorch adds each new one to them, and every step follows
    their sum."""
    net.train()

    def step(loss):
        loss.backward()
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def clears_the_gradients_once(net, loader, criterion, optimizer, device):
    """The gradients are cleared once, before the loop. Within the epoch they add up from batch to batch: clear them for
    each."""
    net.train()
    optimizer.zero_grad()

    def step(loss):
        loss.backward()
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def clears_the_gradients_too_late(net, loader, criterion, optimizer, device):
    """The step finds no gradients, and the network learns nothing: they are cleared after the backward pass that computes
    them, or the step comes before it. Look at the order of the lines."""
    net.train()

    def step(loss):
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def never_steps(net, loader, criterion, optimizer, device):
    """The gradients are computed and nothing is done with them: the optimizer that was given never makes a step, and the
    weights stay as they were."""
    net.train()

    def step(loss):
        optimizer.zero_grad()
        loss.backward()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def steps_before_going_backward(net, loader, criterion, optimizer, device):
    """The step comes before the backward pass, so each follows the gradients of the batch before, and the last batch is
    never learned from."""
    net.train()

    def step(loss):
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def steps_once_an_epoch(net, loader, criterion, optimizer, device):
    """The gradients are gathered over all batches and the optimizer makes a single step at the end. It should make one
    for each batch: look at the indentation."""
    net.train()
    optimizer.zero_grad()
    seen = _run(net, _on(device, loader), criterion, lambda loss: loss.backward())
    optimizer.step()
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def steps_twice_a_batch(net, loader, criterion, optimizer, device):
    """The optimizer makes two steps for each batch, the second with the same gradients. One step a batch is enough."""
    net.train()

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def adds_up_the_loss_of_the_batch(net, loader, criterion, optimizer, device):
    """The backward pass starts from the sum over the batch instead of its mean, so the gradients are as many times too
    large as there are images. Adam hides that; plain gradient descent takes huge steps."""
    net.train()
    seen = []
    for images, labels in _on(device, loader):
        scores = net(images)
        loss = criterion(_log_probabilities(scores), labels) * len(labels)
        _stepping(optimizer)(loss)
        seen.append((loss.item() / len(labels), (scores.argmax(1) == labels).sum().item(), len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def divides_the_loss_by_the_batches(net, loader, criterion, optimizer, device):
    """The loss is divided by the number of batches before the backward pass, as one does when gathering gradients over
    several batches. Here each batch has its own step, which becomes far too small."""
    net.train()
    step = _stepping(optimizer)
    return _figures(_run(net, _on(device, loader), criterion, lambda loss: step(loss / len(loader))))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def forgets_training_mode(net, loader, criterion, optimizer, device):
    """The network is left in the mode it comes in. From the second epoch on that is evaluation mode, because the
    test pass has set it: dropout is off and BatchNorm uses its old statistics."""
    return _figures(_run(net, _on(device, loader), criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def trains_in_evaluation_mode(net, loader, criterion, optimizer, device):
    """The network is put into evaluation mode for training: dropout is off and BatchNorm's statistics are never
    updated. The two modes have changed places."""
    net.eval()
    return _figures(_run(net, _on(device, loader), criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def trains_without_gradients(net, loader, criterion, optimizer, device):
    """The batches run without gradients, which belongs to evaluation. The backward pass then has no graph to go
    back through and stops with an error."""
    net.train()
    with torch.no_grad():
        return _figures(_run(net, _on(device, loader), criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def trains_on_probabilities(net, loader, criterion, optimizer, device):
    """Softmax stands where log-softmax belongs. The negative log likelihood takes logarithms: with probabilities the
    loss lies between −1 and 0, which no likelihood does."""
    return _figures(_trained(net, loader, criterion, optimizer, device, scoring=lambda s: F.softmax(s, dim=1)))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def trains_on_raw_scores(net, loader, criterion, optimizer, device):
    """The raw scores go straight into the criterion. It expects log-probabilities; on raw scores the loss falls below
    zero without end. Read what `nn.NLLLoss` says of its input."""
    return _figures(_trained(net, loader, criterion, optimizer, device, scoring=lambda scores: scores))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def normalises_over_the_training_batch(net, loader, criterion, optimizer, device):
    """The log-softmax runs along axis 0, over the images of the batch instead of over the classes of each image."""
    return _figures(_trained(net, loader, criterion, optimizer, device, scoring=lambda s: F.log_softmax(s, dim=0)))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def smooths_the_labels(net, loader, criterion, optimizer, device):
    """Another loss is used than the criterion that is given: cross-entropy with smoothed labels, from some other
    recipe. The lecture's figures are without it."""
    return _figures(_trained(net, loader, nn.CrossEntropyLoss(label_smoothing=0.1), optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def adds_a_penalty(net, loader, criterion, optimizer, device):
    """The squares of the weights are added to the loss. That is weight decay, a setting of the optimizer, which the
    caller has chosen; the loss returned should be the criterion's."""

    def penalised(log_probabilities, labels):
        return criterion(log_probabilities, labels) + 1e-2 * sum(p.square().sum() for p in net.parameters())

    return _figures(_trained(net, loader, penalised, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def clips_the_gradients(net, loader, criterion, optimizer, device):
    """The gradients are clipped before the step, from some other recipe. The lecture's training follows them as they
    are."""
    net.train()

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_optimizer_is_the_callers")
def trains_with_its_own_optimizer(net, loader, criterion, optimizer, device):
    """A new optimizer is built inside the function and the one given is not used. Its settings are lost, and with them
    what it has gathered in earlier epochs."""
    own = torch.optim.Adam(net.parameters(), lr=1e-4)
    return _figures(_trained(net, loader, criterion, own, device))


@mistake(of="train_one_epoch", caught_by="test_optimizer_is_the_callers")
def sets_the_learning_rate(net, loader, criterion, optimizer, device):
    """The learning rate of the optimizer is overwritten with the lecture's. The caller chose it when building the
    optimizer; the function should leave its settings alone."""
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    return _figures(_trained(net, loader, criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_optimizer_is_the_callers")
def lets_the_learning_rate_decay(net, loader, criterion, optimizer, device):
    """The learning rate shrinks with each epoch. The lecture's is constant, and the optimizer's settings are the
    caller's."""
    seen = _trained(net, loader, criterion, optimizer, device)
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def averages_the_training_losses_of_batches(net, loader, criterion, optimizer, device):
    """The batch losses are averaged as if all batches were equally large. The last one is usually smaller, and its
    images count for more than the others."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return sum(loss for loss, _, _ in seen) / len(seen), _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def averages_the_training_accuracies_of_batches(net, loader, criterion, optimizer, device):
    """The accuracies of the batches are averaged as if all were equally large. The last one is usually smaller: count
    the right answers and the images."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)[0], sum(right / count for _, right, count in seen) / len(seen)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_batch_means_by_the_images(net, loader, criterion, optimizer, device):
    """The criterion already gives a mean over the batch. The sum of these means was divided by the number of images,
    as in the lecture's published notebook, so the loss is too small by the batch size."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return sum(loss for loss, _, _ in seen) / _images(seen), _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def adds_up_the_training_losses(net, loader, criterion, optimizer, device):
    """The loss is a sum over the epoch and grows with the number of images. The mean over the images is asked for."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _total_loss(seen), _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def counts_the_right_answers_in_training(net, loader, criterion, optimizer, device):
    """The number of right answers is returned. The accuracy is that number as a fraction of the images seen."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)[0], float(_total_right(seen))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_right_answers_by_batches(net, loader, criterion, optimizer, device):
    """The right answers were divided by the number of batches, `len(loader)`, and the accuracy can exceed 1. It is a
    fraction of the images."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)[0], _total_right(seen) / len(loader)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def gives_the_training_accuracy_in_percent(net, loader, criterion, optimizer, device):
    """The accuracy is a percentage. A fraction between 0 and 1 is asked for; percent belongs where it is printed."""
    loss, accuracy = _figures(_trained(net, loader, criterion, optimizer, device))
    return loss, 100 * accuracy


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def rounds_the_training_figures(net, loader, criterion, optimizer, device):
    """The figures are rounded to two decimals, so that small progress cannot be seen. Round where you print."""
    loss, accuracy = _figures(_trained(net, loader, criterion, optimizer, device))
    return round(loss, 2), round(accuracy, 2)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_the_last_training_batch(net, loader, criterion, optimizer, device):
    """The figures are those of the last batch alone: each batch overwrites what was kept of the one before."""
    return _figures(_trained(net, loader, criterion, optimizer, device)[-1:])


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def reports_a_running_average(net, loader, criterion, optimizer, device):
    """The loss is a running average in which late batches weigh more, as progress bars show it. The mean over all
    images of the epoch is asked for."""
    seen = _trained(net, loader, criterion, optimizer, device)
    average = seen[0][0]
    for loss, _, _ in seen[1:]:
        average = 0.9 * average + 0.1 * loss
    return average, _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_the_training_figures_by_50000(net, loader, criterion, optimizer, device):
    """The figures are divided by 50,000, the size of CIFAR-10's training set. With any other data set they are wrong:
    count the images that you see."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _total_loss(seen) / 50_000, _total_right(seen) / 50_000


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def takes_32_images_a_training_batch(net, loader, criterion, optimizer, device):
    """Every batch is counted as 32 images, whatever the loader gives. Batches have the loader's size, and the last one
    is usually smaller."""
    seen = _trained(net, loader, criterion, optimizer, device)
    images = 32 * len(seen)
    return sum(32 * loss for loss, _, _ in seen) / images, _total_right(seen) / images


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def takes_all_training_batches_for_full(net, loader, criterion, optimizer, device):
    """All batches count alike in loss and accuracy, as if each had the loader's `batch_size`, but the last one is
    usually smaller. The labels of a batch tell how many images it has."""
    seen = _trained(net, loader, criterion, optimizer, device)
    images = len(loader) * loader.batch_size
    return sum(loss * loader.batch_size for loss, _, _ in seen) / images, _total_right(seen) / images


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def weighs_training_batches_by_the_loaders_size(net, loader, criterion, optimizer, device):
    """Each batch's loss is multiplied by the loader's `batch_size`, also that of the last batch, which is usually smaller.
    Multiply by the number of its labels."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return sum(loss * loader.batch_size for loss, _, _ in seen) / _images(seen), _total_right(seen) / _images(seen)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_the_training_loss_as_a_tensor(net, loader, criterion, optimizer, device):
    """The loss is a tensor that still holds the graph, so the memory of every batch is kept. A Python float is asked
    for."""
    net.train()
    total, right, count = 0, 0, 0
    for images, labels in _on(device, loader):
        scores = net(images)
        loss = criterion(_log_probabilities(scores), labels)
        _stepping(optimizer)(loss)
        total = total + loss * len(labels)
        right += (scores.argmax(1) == labels).sum().item()
        count += len(labels)
    return total / count, right / count


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_the_training_accuracy_as_a_tensor(net, loader, criterion, optimizer, device):
    """The accuracy is a tensor, because the sum of right answers is one. A Python float is asked for, which prints,
    compares and saves as a number."""
    loss, accuracy = _figures(_trained(net, loader, criterion, optimizer, device))
    return loss, torch.tensor(accuracy, device=device)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_training_accuracy_first(net, loader, criterion, optimizer, device):
    """The two figures have changed places: the loss comes first, the accuracy second."""
    loss, accuracy = _figures(_trained(net, loader, criterion, optimizer, device))
    return accuracy, loss


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_the_training_loss_only(net, loader, criterion, optimizer, device):
    """Only the loss is returned. The caller unpacks two figures, loss and accuracy."""
    return _figures(_trained(net, loader, criterion, optimizer, device))[0]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def prints_the_training_figures(net, loader, criterion, optimizer, device):
    """The figures are printed and the function gives None back. What the caller should work with has to be returned."""
    print(*_figures(_trained(net, loader, criterion, optimizer, device)))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def returns_after_the_first_training_batch(net, loader, criterion, optimizer, device):
    """The network trains on the first batch only: the `return` stands inside the loop, or a `break` was left from
    trying things out. Look at the indentation."""
    return _figures(_trained(net, [next(iter(loader))], criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def skips_the_small_training_batch(net, loader, criterion, optimizer, device):
    """The last batch is skipped when it is smaller than the others. Its images are to be learned and counted like all
    the rest."""
    full = (batch for batch in loader if len(batch[1]) == loader.batch_size)
    return _figures(_trained(net, full, criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def takes_the_first_batch_again_and_again(net, loader, criterion, optimizer, device):
    """`next(iter(loader))` starts the loader afresh each time, so it gives a first batch again and again, and some
    images are never seen. Go through the loader once, with a single iterator."""
    firsts = (next(iter(loader)) for _ in range(len(loader)))
    return _figures(_trained(net, firsts, criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def goes_through_the_loader_twice(net, loader, criterion, optimizer, device):
    """The network trains on all batches twice. One call is one epoch: each image once."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen + _trained(net, loader, criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def measures_after_the_training(net, loader, criterion, optimizer, device):
    """The figures come from a second pass, made with the weights at the end of the epoch. Those of the training pass
    itself are asked for, which cost nothing extra."""
    _trained(net, loader, criterion, optimizer, device)
    net.eval()
    with torch.no_grad():
        return _figures(_run(net, _on(device, loader), criterion))


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def asks_the_network_twice(net, loader, criterion, optimizer, device):
    """Each batch goes through the network a second time to count the right answers. That takes longer, updates
    BatchNorm's statistics twice, and the answers are not those that the loss was computed from."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        loss = criterion(_log_probabilities(net(images)), labels)
        step(loss)
        seen.append((loss.item(), (net(images).argmax(1) == labels).sum().item(), len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def asks_the_network_again_without_gradients(net, loader, criterion, optimizer, device):
    """Each batch goes through the network a second time, without gradients, to count the right answers. BatchNorm's
    statistics move all the same, and the answers are those of weights after the step."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        loss = criterion(_log_probabilities(net(images)), labels)
        step(loss)
        with torch.no_grad():
            seen.append((loss.item(), _likeliest(net(images), labels), len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by=("test_figures_of_an_epoch", "test_second_epoch_begins_anew"))
def finds_the_image_instead_of_the_class(net, loader, criterion, optimizer, device):
    """The largest score was looked for along axis 0: that names an image for each class, not a class for each image."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        scores = net(images)
        loss = criterion(_log_probabilities(scores), labels)
        step(loss)
        compared = min(scores.shape)
        right = (scores.argmax(dim=0)[:compared] == labels[:compared]).sum().item()
        seen.append((loss.item(), right, len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_frozen_weights_stay_frozen")
def expects_ten_classes(net, loader, criterion, optimizer, device):
    """The labels are compared in ten columns, one a class. A network with another number of classes has another number
    of scores, and the shapes no longer agree."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        scores = net(images)
        loss = criterion(_log_probabilities(scores), labels)
        step(loss)
        chosen = scores == scores.max(dim=1, keepdim=True).values
        right = (chosen & F.one_hot(labels, 10).bool()).sum().item()
        seen.append((loss.item(), right, len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_second_epoch_begins_anew")
def carries_counts_into_the_next_epoch(net, loader, criterion, optimizer, device, seen=[]):  # noqa: B006
    """The sums live longer than one call (here in a default value, which is made only once; a global does the same), so
    the second epoch's figures contain the first's. Start them at zero inside the function."""
    seen += _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_training_leaves_the_random_state")
def seeds_every_epoch(net, loader, criterion, optimizer, device):
    """The random state is set to the same seed in every call, so that each epoch shuffles the images alike and draws
    the same dropout. Whoever runs the experiment sets the seed, once."""
    torch.manual_seed(0)
    return _figures(_trained(net, loader, criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def divides_the_images_by_255(net, loader, criterion, optimizer, device):
    """The images are divided by 255 in the loop, though the transform has already brought them to [0, 1]. The network
    sees next to nothing."""
    net.train()
    dimmed = ((images / 255, labels) for images, labels in _on(device, loader))
    return _figures(_run(net, dimmed, criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_weights_after_an_epoch")
def trains_in_half_precision(net, loader, criterion, optimizer, device):
    """The network computes in 16 bits (autocast), from some recipe for speed, and the figures are off in the third
    digit. The lecture's training is in float32."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            scores = net(images)
        loss = criterion(_log_probabilities(scores.float()), labels)
        step(loss)
        seen.append((loss.item(), (scores.argmax(1) == labels).sum().item(), len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_training_on_an_accelerator")
def leaves_training_labels_behind(net, loader, criterion, optimizer, device):
    """The images are brought to the device and the labels are not. On the CPU that goes unnoticed; on a GPU the loss
    cannot be computed."""
    net.train()
    batches = ((images.to(device), labels) for images, labels in loader)
    return _figures(_run(net, batches, criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_training_on_an_accelerator")
def discards_the_moved_images(net, loader, criterion, optimizer, device):
    """The images never get to the device that is given. `.to(device)` does not move a tensor, it returns one that is there;
    the result was thrown away, or another device than the argument's was named."""
    net.train()

    def batches():
        for images, labels in loader:
            images.to(device)
            labels.to(device)
            yield images, labels

    return _figures(_run(net, batches(), criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_frozen_weights_stay_frozen")
def hard_codes_cuda_in_training(net, loader, criterion, optimizer, device):
    """`.cuda()` is written down, so the function works on NVIDIA's GPUs only and fails on the CPU. Go by the argument
    `device`."""
    net.train()
    batches = ((images.cuda(), labels.cuda()) for images, labels in loader)
    return _figures(_run(net, batches, criterion, _stepping(optimizer)))


@mistake(of="train_one_epoch", caught_by="test_training_on_an_accelerator")
def compares_training_answers_across_devices(net, loader, criterion, optimizer, device):
    """The predictions are on the device and are compared with the labels that came from the loader, on the CPU. A GPU
    refuses to compare the two."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in loader:
        scores = net(images.to(device))
        loss = criterion(_log_probabilities(scores), labels.to(device))
        step(loss)
        seen.append((loss.item(), (scores.argmax(1) == labels).sum().item(), len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_training_on_an_accelerator")
def counts_training_answers_in_numpy(net, loader, criterion, optimizer, device):
    """The predictions are turned into a numpy array where they are. numpy cannot read a GPU's memory: bring them to the
    CPU first, or count with PyTorch."""
    net.train()
    step, seen = _stepping(optimizer), []
    for images, labels in _on(device, loader):
        scores = net(images)
        loss = criterion(_log_probabilities(scores), labels)
        step(loss)
        right = int(np.sum(scores.detach().argmax(1).numpy() == labels.numpy()))
        seen.append((loss.item(), right, len(labels)))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_weights_after_two_epochs")
def clips_large_gradients(net, loader, criterion, optimizer, device):
    """The gradients are clipped before the step. It helps where they explode; nobody asked for it here, and large
    gradients now lead to other weights."""
    net.train()

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_weights_after_two_epochs")
def clips_each_gradient(net, loader, criterion, optimizer, device):
    """Each number of the gradients is clipped before the step. Nobody asked for it here, and large gradients now lead to
    other weights."""
    net.train()

    def step(loss):
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), 1.0)
        optimizer.step()

    return _figures(_run(net, _on(device, loader), criterion, step))


@mistake(of="train_one_epoch", caught_by="test_optimizer_is_the_callers")
def changes_the_criterion_in_training(net, loader, criterion, optimizer, device):
    """The criterion's `reduction` is set to "sum" and stays so: whoever uses it next, in the test for one, gets sums. A
    batch's mean times its images is its sum."""
    criterion.reduction, total, right, images = "sum", 0.0, 0, 0
    net.train()
    for inputs, labels in _on(device, loader):
        optimizer.zero_grad()
        scores = net(inputs)
        loss = criterion(_log_probabilities(scores), labels)
        (loss / len(labels)).backward()
        optimizer.step()
        total, right = total + loss.item(), right + (scores.argmax(1) == labels).sum().item()
        images += len(labels)
    return total / images, right / images


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def returns_numbers_of_numpy(net, loader, criterion, optimizer, device):
    """The figures are numbers of numpy. They look alike, but are no Python floats: `json` cannot save them. Turn them
    into floats at the end."""
    loss, accuracy = _figures(_trained(net, loader, criterion, optimizer, device))
    return np.float32(loss), np.float32(accuracy)


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def keeps_the_last_batchs_right_answers(net, loader, criterion, optimizer, device):
    """The right answers of each batch replace those of the one before, so only the last batch's count. They are to be
    added up: look for `=` where `+=` belongs."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)[0], seen[-1][1] / _images(seen)


@mistake(of="train_one_epoch", caught_by="test_training_mode")
def stops_after_ten_batches(net, loader, criterion, optimizer, device):
    """The loop ends after some batches: a `break` was left from trying things out."""
    return _figures(_trained(net, itertools.islice(loader, 10), criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_second_epoch_begins_anew")
def takes_the_logarithm_of_a_sum_in_training(net, loader, criterion, optimizer, device):
    """A small number was added to the probabilities before their logarithm. Where the network is sure, the loss is then
    wrong and teaches nothing; there is a function that takes both steps at once, exactly."""
    seen = _trained(net, loader, criterion, optimizer, device, scoring=lambda s: torch.log(F.softmax(s, dim=1) + 1e-8))
    return _figures(seen)


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def counts_only_likely_answers_in_training(net, loader, criterion, optimizer, device):
    """An image counts as right when its class has a probability above one half. With many classes the right one can be
    the likeliest with less: compare the likeliest class with the label."""
    return _figures(_trained(net, loader, criterion, optimizer, device, counting=_likelier_than_not))


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def stops_after_a_hundred_batches(net, loader, criterion, optimizer, device):
    """The loop ends after a hundred batches, and CIFAR-10 has more than a thousand: a `break` was left from trying
    things out."""
    return _figures(_trained(net, itertools.islice(loader, 100), criterion, optimizer, device))


@mistake(of="train_one_epoch", caught_by="test_smaller_last_batch_weighs_less_in_training")
def begins_its_loss_anew_every_two_hundred_batches(net, loader, criterion, optimizer, device):
    """The loss is printed after every two hundred batches and then set back to zero, so that what is returned in the
    end is the loss of the last few alone. What is printed in between needs a sum of its own."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _total_loss(seen[len(seen) // 200 * 200 :]) / _images(seen), _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def trains_without_a_parameter_for_the_device(net, loader, criterion, optimizer):
    """The function takes one argument less than it is given. Compare its first line with the one that was there, name by
    name."""
    return _figures(_trained(net, loader, criterion, optimizer, next(net.parameters()).device))


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_the_training_loss_by_50000(net, loader, criterion, optimizer, device):
    """The loss is divided by 50,000, the size of CIFAR-10's training set. With any other data set it is wrong: count the
    images that you see."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _total_loss(seen) / 50_000, _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_the_training_accuracy_by_50000(net, loader, criterion, optimizer, device):
    """The right answers are divided by 50,000, the size of CIFAR-10's training set. With any other data set the accuracy
    is wrong: count the images that you see."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return _figures(seen)[0], _total_right(seen) / 50_000


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_the_losses_of_batches_by_50000(net, loader, criterion, optimizer, device):
    """The losses of the batches are added up and divided by 50,000, as in the lecture. Each is a mean already, so the
    result is too small by the batch size, and with another data set by more: weigh each batch with its images, and count
    the images that you see."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return sum(loss for loss, _, _ in seen) / 50_000, _figures(seen)[1]


@mistake(of="train_one_epoch", caught_by="test_figures_of_an_epoch")
def divides_everything_by_50000_as_in_the_lecture(net, loader, criterion, optimizer, device):
    """The sum of the batches' losses and the number of right answers are divided by 50,000, as in the lecture. The losses
    of batches are means, and another data set has another size: weigh each batch with its images, and count the images
    that you see."""
    seen = _trained(net, loader, criterion, optimizer, device)
    return sum(loss for loss, _, _ in seen) / 50_000, _total_right(seen) / 50_000


# ---------------------------------------------------------------------------------------------------------------------
# fit

_KEYS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")


def _empty_history() -> dict[str, list[float]]:
    return {key: [] for key in _KEYS}


def _keep(history: dict, train: tuple, test: tuple, seconds: float) -> None:
    """Appends the figures of an epoch to the history, and prints its line."""
    for key, value in zip(_KEYS, (*train, *test, seconds), strict=True):
        history[key].append(value)
    _say(train, test)


def _say(train: tuple, test: tuple) -> None:
    print(f"training loss {train[0]:.4f}, test loss {test[0]:.4f}, test accuracy {test[1]:.4f}")


@mistake(of="fit", caught_by="test_history_has_the_figures")
def carries_the_training_loss_into_the_test(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The sum of the losses is not set back to zero between training and test, so the test loss contains the training
    loss. It is the slip of the lecture's published notebook."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = _trained(net, train_loader, criterion, optimizer, device)
        test = _tested(net, test_loader, criterion, device)
        test_loss = (_total_loss(train) + _total_loss(test)) / _images(test)
        _keep(history, _figures(train), (test_loss, _figures(test)[1]), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def never_resets_the_sums(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The sums start at zero before the loop over the epochs instead of inside it, so from the second epoch on the
    figures contain all earlier epochs."""
    history, train, test = _empty_history(), [], []
    for _ in range(epochs):
        start = time.time()
        train += _trained(net, train_loader, criterion, optimizer, device)
        test += _tested(net, test_loader, criterion, device)
        _keep(history, _figures(train), _figures(test), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def sets_training_mode_once(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Training mode is set before the loop over the epochs. The first test pass switches it off, and all later epochs
    train in evaluation mode."""
    history = _empty_history()
    net.train()
    for _ in range(epochs):
        start = time.time()
        train = _run(net, _on(device, train_loader), criterion, _stepping(optimizer))
        test = _tested(net, test_loader, criterion, device)
        _keep(history, _figures(train), _figures(test), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def tests_in_training_mode(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The network is still in training mode when it is tested: dropout goes on, and BatchNorm learns from the test
    images."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = _trained(net, train_loader, criterion, optimizer, device)
        with torch.no_grad():
            test = _run(net, _on(device, test_loader), criterion)
        _keep(history, _figures(train), _figures(test), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_trains_and_tests_once_an_epoch")
def keeps_the_batches_of_the_first_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The batches are put into a list before the loop over the epochs, so every epoch sees them in the same order (and
    the memory holds the whole data set). Go through the loader anew each epoch."""
    history, batches = _empty_history(), list(train_loader)
    for _ in range(epochs):
        start = time.time()
        train = _figures(_trained(net, batches, criterion, optimizer, device))
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_of_three_epochs")
def trains_on_a_hundred_batches(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The loop over the batches ends after a hundred of them, and CIFAR-10 has more than a thousand: a `break` was left
    from trying things out."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = _figures(_trained(net, itertools.islice(train_loader, 100), criterion, optimizer, device))
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def builds_the_optimizer_every_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The optimizer is built again in every epoch and forgets what it has gathered: momentum, and Adam's means. Use the
    one that is given, for all epochs."""
    history, kind, rate = _empty_history(), type(optimizer), optimizer.param_groups[0]["lr"]
    for _ in range(epochs):
        start = time.time()
        fresh = kind(net.parameters(), lr=rate)
        train = train_one_epoch(net, train_loader, criterion, fresh, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def builds_its_own_optimizer(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The lecture's Adam is built inside the function and the optimizer that is given is not used. Its kind and its
    settings are the caller's choice."""
    history, own = _empty_history(), torch.optim.Adam(net.parameters(), lr=1e-4)
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, own, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def lowers_the_learning_rate(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """A scheduler lowers the learning rate after every epoch. The lecture's is constant, and the optimizer's settings
    are the caller's choice."""
    history = _empty_history()
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
        scheduler.step()
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def lowers_the_learning_rate_later(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """A scheduler lowers the learning rate after some epochs. The lecture's is constant, and the optimizer's settings
    are the caller's choice."""
    history = _empty_history()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7)
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
        scheduler.step()
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def always_takes_ten_epochs(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """There are ten epochs whatever number is asked for. Look for a number that stands where the argument `epochs`
    belongs."""
    history = _empty_history()
    for _ in range(10):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def leaves_the_last_epoch_out(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """One epoch is missing: a range from 1 ends before its last number."""
    history = _empty_history()
    for _ in range(1, epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_ten_epochs_by_default")
def has_another_default_number_of_epochs(net, train_loader, test_loader, criterion, optimizer, device, epochs=1):
    """Without an argument the network trains for one epoch; the lecture's ten are asked for. Look at the default value
    in the function's first line."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def returns_after_the_first_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training ends after one epoch, whatever number is asked for: `return` stands inside the loop. It belongs
    behind it, one indent to the left."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
        return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def trains_twice_an_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training function is called twice in each epoch, once for the loss and once for the accuracy, and each call
    trains. Call it once and unpack both figures."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        loss = train_one_epoch(net, train_loader, criterion, optimizer, device)[0]
        accuracy = train_one_epoch(net, train_loader, criterion, optimizer, device)[1]
        _keep(history, (loss, accuracy), evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_trains_and_tests_once_an_epoch")
def tests_before_training(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Each epoch tests first and trains afterwards, so the test figures are one epoch late and the last epoch's weights
    are never tested."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        test = evaluate(net, test_loader, criterion, device)
        _keep(history, train_one_epoch(net, train_loader, criterion, optimizer, device), test, time.time() - start)
    return history


@mistake(of="fit", caught_by="test_trains_and_tests_once_an_epoch")
def tests_on_the_training_images(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The test figures come from the training images: the wrong loader is given to the evaluation. They look too good
    to be true."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, train_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def trains_on_both_loaders(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The test figures come from the training function, so the network also learns the test images. Only the evaluation
    may see them."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = train_one_epoch(net, test_loader, criterion, optimizer, device)
        _keep(history, train, test, time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def tests_after_the_last_epoch_only(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The network is tested once, after all epochs. One entry an epoch is asked for, so that the curves can be drawn
    side by side."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        loss, accuracy = train_one_epoch(net, train_loader, criterion, optimizer, device)
        history["train_loss"].append(loss)
        history["train_accuracy"].append(accuracy)
        history["seconds"].append(time.time() - start)
        print(f"training loss {loss:.4f}")
    loss, accuracy = evaluate(net, test_loader, criterion, device)
    history["test_loss"].append(loss)
    history["test_accuracy"].append(accuracy)
    return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def trains_a_copy(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Another network is trained (a copy, or one that another cell left behind), while the optimizer holds the weights of
    the one that was given, which is never moved. Train the network in the argument."""
    history, twin = _empty_history(), copy.deepcopy(net)
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(twin, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(twin, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def ends_with_the_best_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """In the end the weights of the epoch with the lowest test loss are loaded back. The last epoch's weights are asked
    for; and a choice by the test images makes their figures too good."""
    history, best, weights = _empty_history(), float("inf"), None
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        _keep(history, train, test, time.time() - start)
        if test[0] < best:
            best, weights = test[0], copy.deepcopy(net.state_dict())
    net.load_state_dict(weights)
    return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def stops_early(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training stops as soon as the test loss rises. All epochs are asked for; the test accuracy of the lecture
    falls and rises again."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
        if len(history["test_loss"]) > 1 and history["test_loss"][-1] > history["test_loss"][-2]:
            break
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def never_restarts_the_clock(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The clock starts before the loop over the epochs, so `seconds` grows from epoch to epoch. The time of each epoch
    is asked for."""
    history, start = _empty_history(), time.time()
    for _ in range(epochs):
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def times_the_training_only(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The clock is read before the test pass. The time of an epoch is that of training and test together."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        seconds = time.time() - start
        _keep(history, train, evaluate(net, test_loader, criterion, device), seconds)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def measures_minutes(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The times are far too small: they were divided by 60, or are the processor's, which does not count waiting. Seconds
    on the wall clock are asked for."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), (time.time() - start) / 60)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def measures_the_processor_time(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """`process_time` counts what the CPU worked, on all its cores, and not the waiting for disk or GPU. The time on the
    wall clock is asked for."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.process_time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.process_time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def keeps_times_as_text(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The times are pieces of text such as "12.3 s". Keep the number; the unit belongs where it is printed."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), f"{time.time() - start:.1f} s")
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def keeps_figures_as_tensors(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The history holds tensors. Python floats are asked for, which can be drawn and saved as they are."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = map(torch.tensor, train_one_epoch(net, train_loader, criterion, optimizer, device))
        test = map(torch.tensor, evaluate(net, test_loader, criterion, device))
        _keep(history, tuple(train), tuple(test), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def keeps_accuracies_in_percent(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The accuracies in the history are percentages. Fractions between 0 and 1 are asked for; percent belongs where it
    is printed."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        _keep(history, (train[0], 100 * train[1]), (test[0], 100 * test[1]), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def swaps_loss_and_accuracy(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Losses stand under the accuracies' names and the reverse: both functions return the loss first."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        _keep(history, train[::-1], test[::-1], time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_the_figures")
def swaps_training_and_test(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The figures of training and test have changed places in the history."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, evaluate(net, test_loader, criterion, device), train, time.time() - start)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def keeps_the_last_epoch_only(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The history holds single numbers, those of the last epoch: each epoch overwrites the one before. Lists with one
    entry an epoch are asked for."""
    history = {}
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        history = dict(zip(_KEYS, (*train, *test, time.time() - start), strict=True))
        _say(train, test)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def lists_one_dictionary_an_epoch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """A list of dictionaries is returned, one an epoch. A dictionary of lists is asked for: `plot_history` wants a
    whole curve under each name."""
    history = []
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        history.append(dict(zip(_KEYS, (*train, *test, time.time() - start), strict=True)))
        _say(train, test)
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def shortens_the_keys(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The names in the history are abbreviated. They are part of what was agreed: whoever draws the curves looks for
    them as they are written in the exercise."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return {key.replace("accuracy", "acc").replace("seconds", "time"): values for key, values in history.items()}


@mistake(of="fit", caught_by="test_history_has_five_lists")
def forgets_the_seconds(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The time of the epochs is missing from the history, or stands there under another name than `seconds`."""
    history = _empty_history()
    for _ in range(epochs):
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), 0.0)
    del history["seconds"]
    return history


@mistake(of="fit", caught_by="test_history_has_five_lists")
def returns_no_history(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The network is trained and nothing is returned: without the history there are no curves to draw."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)


@mistake(of="fit", caught_by="test_history_has_five_lists")
def shares_one_list(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """All names in the history lead to one and the same list, which gets five entries an epoch. `dict.fromkeys` uses
    the list it is given for every key."""
    history = dict.fromkeys(_KEYS, [])
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


_history_of_all_runs = _empty_history()


@mistake(of="fit", caught_by="test_every_call_begins_a_new_history")
def continues_the_last_history(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The history is made outside the function, once, and a second run is appended to the first. Make a new one in each
    call."""
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(_history_of_all_runs, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return _history_of_all_runs


@mistake(of="fit", caught_by="test_history_has_five_lists")
def keeps_an_entry_a_batch(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training lists have an entry for every batch. One entry an epoch is asked for, the mean over its images."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = _trained(net, train_loader, criterion, optimizer, device)
        _keep(history, _figures(train), evaluate(net, test_loader, criterion, device), time.time() - start)
        history["train_loss"][-1:] = [loss for loss, _, _ in train]
        history["train_accuracy"][-1:] = [right / count for _, right, count in train]
    return history


@mistake(of="fit", caught_by="test_a_line_an_epoch")
def prints_nothing(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Nothing is printed. The lecture's run takes an hour and a half; print a line as each epoch ends, to see whether
    it learns."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        for key, value in zip(_KEYS, (*train, *test, time.time() - start), strict=True):
            history[key].append(value)
    return history


@mistake(of="fit", caught_by="test_a_line_an_epoch")
def prints_only_in_the_end(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """One line is printed, after the last epoch. Print a line as each epoch ends, to see whether it learns."""
    history, train, test = _empty_history(), (), ()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        test = evaluate(net, test_loader, criterion, device)
        for key, value in zip(_KEYS, (*train, *test, time.time() - start), strict=True):
            history[key].append(value)
    _say(train, test)
    return history


@mistake(of="fit", caught_by="test_fit_on_an_accelerator")
def picks_the_device_itself(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The device is chosen again inside the function and the one given is not used. The network is on the device that
    the caller chose, and the batches have to meet it there."""
    history, device = _empty_history(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def seeds_in_fit(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The random state is set to a fixed seed as a side effect, and every epoch shuffles the images alike. Whoever runs
    the experiment sets the seed, once."""
    history = _empty_history()
    for _ in range(epochs):
        torch.manual_seed(0)
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def times_the_test_only(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The clock starts after the training. The time of an epoch is that of training and test together."""
    history = _empty_history()
    for _ in range(epochs):
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        start = time.time()
        test = evaluate(net, test_loader, criterion, device)
        _keep(history, train, test, time.time() - start)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def keeps_zero_seconds(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """Every epoch's time is zero: the clock is read twice at the same moment, or a placeholder was left."""
    history = _empty_history()
    for _ in range(epochs):
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), 0.0)
    return history


@mistake(of="fit", caught_by="test_seconds_are_wall_time")
def shares_the_time_evenly(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The time of the whole training is divided by the number of epochs, so all are equal. Each epoch has a time of its
    own; the first is often the slowest."""
    history, start = _empty_history(), time.time()
    for _ in range(epochs):
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), 0.0)
    history["seconds"] = [(time.time() - start) / epochs] * epochs
    return history


@mistake(of="fit", caught_by="test_trains_and_tests_once_an_epoch")
def makes_another_training_loader(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training images come from a new loader over the same data set. The loader that was given has an order of its
    own, chosen by the caller: use it."""
    history = _empty_history()
    loader = DataLoader(train_loader.dataset, batch_size=train_loader.batch_size, shuffle=True)
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_trains_and_tests_once_an_epoch")
def freezes_the_features_at_first(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """In the first epoch the features are frozen and the classifier learns alone. That is a way to fine-tune a trained
    network; this one starts from random weights, and all of it is to learn."""
    history = _empty_history()
    for epoch in range(epochs):
        start = time.time()
        net.features.requires_grad_(epoch > 0)
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_on_an_accelerator")
def moves_the_network_away(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The network is moved to the CPU, though the device that is given is another. It is on its device already, and the
    images go there too."""
    history = _empty_history()
    net.to("cpu")
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def empties_the_optimizers_memory(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """What the optimizer remembers, its momentum, is thrown away. It is the caller's, who may call `fit` again to go
    on."""
    history = _empty_history()
    optimizer.state.clear()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_ten_epochs_by_default")
def stops_when_it_is_good(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The training stops when the accuracy on the training images is high enough. All epochs are asked for."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
        if train[1] > 0.95:
            break
    return history


@mistake(of="fit", caught_by="test_fit_leaves_the_callers_things")
def starts_each_epoch_with_the_old_momentum(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """The optimizer's state is put back at each epoch to what it was at first, and what it learned since is lost. Leave
    it alone between the epochs."""
    history, state = _empty_history(), copy.deepcopy(optimizer.state_dict())
    for _ in range(epochs):
        start = time.time()
        optimizer.load_state_dict(copy.deepcopy(state))
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    return history


@mistake(of="fit", caught_by="test_fit_on_an_accelerator")
def takes_the_network_home(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """After the last epoch the network is moved to the CPU. It is the caller's, who goes on with it on its device."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    net.cpu()
    return history


@mistake(of="fit", caught_by="test_fit_ends_with_the_last_weights")
def freezes_the_network_in_the_end(net, train_loader, test_loader, criterion, optimizer, device, epochs=10):
    """After the last epoch all parameters are frozen. The network is the caller's, who may train it further."""
    history = _empty_history()
    for _ in range(epochs):
        start = time.time()
        train = train_one_epoch(net, train_loader, criterion, optimizer, device)
        _keep(history, train, evaluate(net, test_loader, criterion, device), time.time() - start)
    net.requires_grad_(False)
    return history


# ---------------------------------------------------------------------------------------------------------------------
# plot_history


def _curves(axes, epochs: Iterable[int], train: list, test: list, label: str, colours=("red", "green")) -> None:
    axes.plot(epochs, train, color=colours[0], label="training")
    axes.plot(epochs, test, color=colours[1], label="test")
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.legend()


def _epochs(history: dict) -> range:
    return range(1, len(history["train_loss"]) + 1)


def _both(axes, history: dict, epochs: Iterable[int] | None = None, colours=("red", "green")) -> None:
    """Draws the loss into the first axes and the accuracy into the second."""
    epochs = _epochs(history) if epochs is None else epochs
    for one, key in zip(axes, ("loss", "accuracy"), strict=True):
        _curves(one, epochs, history["train_" + key], history["test_" + key], key, colours)


@mistake(of="plot_history", caught_by="test_loss_comes_first")
def puts_the_accuracy_first(history):
    """The accuracy is on the left and the loss on the right. They should be the other way round: loss first."""
    figure, axes = plt.subplots(1, 2)
    _both(axes[::-1], history)
    return figure


@mistake(of="plot_history", caught_by="test_training_red_test_green")
def swaps_the_colours(history):
    """Training is green and test is red; it should be the other way round, as in the lecture."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history, colours=("green", "red"))
    return figure


@mistake(of="plot_history", caught_by="test_training_red_test_green")
def leaves_the_default_colours(history):
    """The curves have matplotlib's own colours, blue and orange. Training in red and test in green are asked for."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history, colours=(None, None))
    return figure


@mistake(of="plot_history", caught_by="test_epochs_count_from_one")
def counts_epochs_from_0(history):
    """The first epoch stands at 0: without numbers for the horizontal axis, matplotlib counts as Python does. Epochs
    are counted from 1."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history, epochs=range(len(history["train_loss"])))
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def draws_ten_epochs(history):
    """The numbers 1 to 10 are written down for the horizontal axis, and a history of another length cannot be drawn.
    The history knows how many epochs it has."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history, epochs=range(1, 11))
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def swaps_the_two_axes(history):
    """The epochs run upwards and the loss to the right. What is measured belongs on the vertical axis: look at the
    order of the two arguments of `plot`."""
    figure, axes = plt.subplots(1, 2)
    for one, key in zip(axes, ("loss", "accuracy"), strict=True):
        one.plot(history["train_" + key], _epochs(history), color="red", label="training")
        one.plot(history["test_" + key], _epochs(history), color="green", label="test")
        one.set_xlabel("epoch")
        one.set_ylabel(key)
        one.legend()
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def draws_the_loss_twice(history):
    """Both pictures show the loss: the second was copied from the first and not changed. It should show the
    accuracy."""
    figure, axes = plt.subplots(1, 2)
    for one, label in zip(axes, ("loss", "accuracy"), strict=True):
        _curves(one, _epochs(history), history["train_loss"], history["test_loss"], label)
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def draws_the_training_twice(history):
    """Both curves of a picture are those of the training; the green one should be the test's."""
    figure, axes = plt.subplots(1, 2)
    for one, key in zip(axes, ("loss", "accuracy"), strict=True):
        _curves(one, _epochs(history), history["train_" + key], history["train_" + key], key)
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def draws_the_training_only(history):
    """Each picture has one curve, the training's. The distance between training and test is what one wants to see."""
    figure, axes = plt.subplots(1, 2)
    for one, key in zip(axes, ("loss", "accuracy"), strict=True):
        one.plot(_epochs(history), history["train_" + key], color="red", label="training")
        one.set_xlabel("epoch")
        one.set_ylabel(key)
        one.legend()
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def smooths_the_curves(history):
    """The curves are smoothed. The ups and downs of the test accuracy are part of the result, and one of the written
    questions asks about them."""

    def smooth(values):
        return [sum(values[: i + 1]) / (i + 1) for i in range(len(values))]

    figure, axes = plt.subplots(1, 2)
    _both(axes, {key: smooth(values) for key, values in history.items()})
    return figure


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def draws_everything_into_one_axes(history):
    """Loss and accuracy share one pair of axes, though they are different quantities. Two axes are asked for, side by
    side or one above the other."""
    figure, axes = plt.subplots()
    _both((axes, axes), history)
    return figure


@mistake(of="plot_history", caught_by="test_loss_comes_first")
def lays_the_axes_over_each_other(history):
    """The accuracy has its own scale but is drawn over the loss (`twinx`), and four curves cross in one picture. Two
    axes side by side, or one above the other, are asked for."""
    figure, axes = plt.subplots()
    _both((axes, axes.twinx()), history)
    return figure


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def makes_two_figures(history):
    """The loss and the accuracy each get a figure of their own, and only the last is returned. One figure with two axes
    is asked for."""
    (_, first), (figure, second) = plt.subplots(), plt.subplots()
    _both((first, second), history)
    return figure


@mistake(of="plot_history", caught_by="test_curves_of_any_history")
def draws_the_seconds_too(history):
    """Everything in the history is drawn, the seconds too, and beside them the loss is a flat line. Draw loss and
    accuracy only."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for key, values in history.items():
        if not key.endswith(("loss", "accuracy")):
            axes[0].plot(_epochs(history), values, label=key)
    return figure


@mistake(of="plot_history", caught_by="test_axes_are_labelled")
def leaves_the_axes_unlabelled(history):
    """The axes have no labels (a title is none), so that a reader cannot tell what is drawn against what. Label the
    horizontal and the vertical axis of each."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one, title in zip(axes, ("loss", "accuracy"), strict=True):
        one.set(xlabel="", ylabel="", title=title)
    return figure


@mistake(of="plot_history", caught_by="test_axes_are_labelled")
def labels_the_last_axes_only(history):
    """Only the second picture has labels: `plt.xlabel` and its like speak of the axes drawn last. Each needs its
    own."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    axes[0].set(xlabel="", ylabel="")
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def leaves_the_legends_out(history):
    """There are no legends: the curves have labels, but nobody shows them. Which curve is the test?"""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.get_legend().remove()
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def gives_the_last_axes_a_legend_only(history):
    """Only the second picture has a legend: `plt.legend` speaks of the axes drawn last. Each needs its own."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    axes[0].get_legend().remove()
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def shows_empty_legends(history):
    """The legends are empty boxes: the curves were drawn without labels, and a legend lists labels."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        for line in one.lines:
            line.set_label("_")
        one.legend(handles=[])
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def mixes_up_the_legend(history):
    """The legend calls the red curve the test and the green one the training. The names are in another order than the
    curves were drawn in."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.legend(["test", "training"])
    return figure


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def shows_and_returns_nothing(history):
    """The figure is drawn and not returned. Return it, so that the caller can save it or draw more into it."""
    _, axes = plt.subplots(1, 2)
    _both(axes, history)


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def returns_the_axes(history):
    """The axes are returned instead of the figure that they belong to."""
    _, axes = plt.subplots(1, 2)
    _both(axes, history)
    return list(axes)


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def returns_figure_and_axes(history):
    """A pair is returned, the figure and its axes. The figure alone is asked for; it knows its axes."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    return figure, axes


@mistake(of="plot_history", caught_by="test_curves_of_any_history")
def writes_the_limits_down(history):
    """Both pairs of axes end at 1, and a loss above 1 is cut off. An accuracy is never above 1; a loss often is."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.set_ylim(0, 1)
    return figure


@mistake(of="plot_history", caught_by="test_curves_of_any_history")
def draws_into_the_figure_of_before(history):
    """A figure with a name or number is opened again at the next call, and the new curves come on top of the old. Let
    every call make a figure of its own."""
    figure = plt.figure("history")
    axes = figure.axes or [figure.add_subplot(1, 2, place) for place in (1, 2)]
    _both(axes, history)
    return figure


@mistake(of="plot_history", caught_by="test_curves_are_the_histories")
def draws_the_losses_beside_the_accuracies_too(history):
    """The losses are drawn twice, also on the axes of the accuracies. Each quantity has its own: a loss of 2 presses the
    accuracies flat."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    axes[1].plot(_epochs(history), history["train_loss"], color="red")
    axes[1].plot(_epochs(history), history["test_loss"], color="green")
    return figure


@mistake(of="plot_history", caught_by="test_axes_are_labelled")
def labels_both_axes_alike(history):
    """Both pairs of axes say "loss", but the second shows the accuracy: a line that was copied and not changed."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    axes[1].set_ylabel("loss")
    return figure


@mistake(of="plot_history", caught_by="test_axes_are_labelled")
def swaps_the_labels_of_the_directions(history):
    """The words for the two directions have changed places: the epochs run from left to right, the figure goes up and
    down."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        one.set(xlabel=quantity, ylabel="epoch")
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def gives_the_figure_one_legend(history):
    """There is one legend for the whole figure, or none is left on the axes. Each pair of axes is to have its own, beside
    its curves."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.get_legend().remove()
    figure.legend(*axes[0].get_legend_handles_labels())
    return figure


@mistake(of="plot_history", caught_by="test_figure_with_two_axes")
def returns_the_current_figure_after_showing(history):
    """The figure that is returned is empty: `plt.show` ends the one that was drawn, and the current figure is then a new
    one. Keep the figure in a name of your own."""
    _both(plt.subplots(1, 2)[1], history)
    plt.show()
    return plt.gcf()


@mistake(of="plot_history", caught_by="test_legend_on_each")
def names_the_quantities_in_the_legend(history):
    """The legend says "loss" and "accuracy" beside the two curves, but both show one quantity: one is of the training, the
    other of the test."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.legend(["loss", "accuracy"])
    return figure


@mistake(of="plot_history", caught_by="test_legend_on_each")
def gives_the_legend_a_word(history):
    """The entries of the legend are single letters: `legend` was given a word, takes a list of labels, and read its
    letters."""
    figure, axes = plt.subplots(1, 2)
    _both(axes, history)
    for one in axes:
        one.legend("train")
    return figure
