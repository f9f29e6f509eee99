"""Regions of a picture in one colour: pixels that hang together, side by side or one below the other, and are exactly equal."""

# Shape suffixes: H rows, W columns, C channels, R regions.

from __future__ import annotations

from multiscale_transformer.kernels.jit import jit_device, jit_entry


@jit_entry
def label_regions(picture_HWC, labels_HW):
    """Number the regions of a picture of bytes from 0 into `labels_HW` (int32), in the order of their first pixels.

    Returns how many there are.
    """
    height, width, channels = picture_HWC.shape
    parents = labels_HW.reshape(height * width)
    for y in range(height):
        for x in range(width):
            here = y * width + x
            parents[here] = here
            for way in range(2):
                if (way == 0 and x == 0) or (way == 1 and y == 0):
                    continue
                same = True
                for c in range(channels):
                    other = picture_HWC[y, x - 1, c] if way == 0 else picture_HWC[y - 1, x, c]
                    same = same and picture_HWC[y, x, c] == other
                if same:
                    one, two = _root(parents, here), _root(parents, here - 1 if way == 0 else here - width)
                    parents[max(one, two)] = min(one, two)
    for here in range(height * width):
        parents[here] = _root(parents, here)
    count = 0
    for here in range(height * width):  # roots come first; numbers that are given are negative until all are
        if parents[here] == here:
            count += 1
            parents[here] = -count
        else:
            parents[here] = parents[parents[here]]
    for here in range(height * width):
        parents[here] = -parents[here] - 1
    return count


@jit_device
def _root(parents, number):
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


@jit_entry
def measure_regions(labels_HW, sizes_R, boxes_R4):
    """The pixels of each region, and the box that it reaches over, into `sizes_R` (zeros) and `boxes_R4`."""
    height, width = labels_HW.shape
    for y in range(height):
        for x in range(width):
            number = labels_HW[y, x]
            if sizes_R[number] == 0:
                boxes_R4[number, 0], boxes_R4[number, 1], boxes_R4[number, 2] = x, y, x
            sizes_R[number] += 1
            boxes_R4[number, 0] = min(boxes_R4[number, 0], x)
            boxes_R4[number, 2] = max(boxes_R4[number, 2], x + 1)
            boxes_R4[number, 3] = y + 1
